/** Asks before something is lost: on a terminal, and unless `--yes` was given. */
import { createInterface } from 'node:readline/promises';
import type { Command } from 'commander';

export function addYesOption(command: Command): Command {
  return command.option('-y, --yes', 'do not ask for confirmation');
}

/** Whether to go on. A program, which cannot be asked, has decided already. */
export async function isConfirmed(question: string, { yes }: { yes?: boolean }): Promise<boolean> {
  if (yes || !process.stdin.isTTY || !process.stderr.isTTY) return true;
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const answer = await terminal.question(`${question} [y/N] `);
    if (/^y(es)?$/i.test(answer.trim())) return true;
  } finally {
    terminal.close();
  }
  process.stderr.write('Nothing was changed.\n');
  process.exitCode = 1;
  return false;
}
