/** A size, checked while the command line is read. */
import { InvalidArgumentError } from 'commander';
import { parseSize } from '../api/size.js';

export function checkedSize(text: string): string {
  try {
    parseSize(text);
    return text;
  } catch {
    throw new InvalidArgumentError('It must be a number of bytes, or a number with a unit such as 10GiB.');
  }
}
