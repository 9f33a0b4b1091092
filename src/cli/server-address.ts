/** The address of `--server`, checked while the command line is read. */
import { InvalidArgumentError } from 'commander';

export const serverDefault = 'http://127.0.0.1:9420';

export function serverAddress(text: string): string {
  if (/^https?:\/\/[^/]/.test(text) && URL.canParse(text)) return text;
  throw new InvalidArgumentError(`It must be a URL such as ${serverDefault}.`);
}
