/** Results on stdout: the JSON that REST returned, or text for people. */
import Table from 'cli-table3';
import type { Command } from 'commander';

export type OutputFormat = 'table' | 'json';

/** Prints what `text` makes of the result, or with `-o json` the result itself. */
export function print<Result>(command: Command, result: Result, text: (result: Result) => string): void {
  const { output } = command.optsWithGlobals<{ output: OutputFormat }>();
  if (output === 'json') writeLine(result === undefined ? '' : JSON.stringify(result, undefined, 2));
  else writeLine(text(result));
}

/** Aligned columns without borders, so that people and programs such as awk can read them. */
export function tableOf(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const table = new Table({ head: [...head], chars: noBorders, style: plain });
  table.push(...rows.map((row) => [...row]));
  return table.toString().split('\n').map((line) => line.trimEnd()).join('\n'); // prettier-ignore
}

/** Names and values below each other. */
export function detailsOf(details: readonly (readonly [name: string, value: string])[]): string {
  const table = new Table({ chars: noBorders, style: plain });
  table.push(...details.map(([name, value]) => [`${name}:`, value]));
  return table.toString().split('\n').map((line) => line.trimEnd()).join('\n'); // prettier-ignore
}

/** For what is missing or unknown. */
export const absent = '-';

const plain = { head: [], border: [], 'padding-left': 0, 'padding-right': 2, compact: true };
const edges = ['top', 'bottom', 'left', 'right', 'mid'] as const;
const noBorders = {
  ...Object.fromEntries(
    edges.flatMap((edge) => [edge, `${edge}-mid`, `${edge}-left`, `${edge}-right`].map((at) => [at, ''])),
  ),
  middle: '',
};

function writeLine(text: string): void {
  if (text !== '') process.stdout.write(`${text}\n`);
}
