/** Errors on stderr: what happened and what to do, in a line or two, without a stack. */
import { toCairnError, type CairnError } from '../errors.js';

export function printError(error: unknown): void {
  const catalogued = toCairnError(error);
  const second = secondLineOf(catalogued);
  process.stderr.write(`error: ${catalogued.detail}\n${second === '' ? '' : `${second}\n`}`);
}

function secondLineOf({ code, detail, errors = [] }: CairnError): string {
  if (code === 'service-unavailable') {
    return 'Start it with `cairn serve`, or name another address with --server or CAIRN_SERVER.';
  }
  const untold = errors.filter((error) => !detail.includes(error.detail));
  return untold.map((error) => `${error.field}: ${error.detail}`).join('; ');
}
