/** The `cairn` command as a process, against a running service. */
import { execFile } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { RealCairn } from './real-cairn.js';

const program = join(dirname(dirname(dirname(fileURLToPath(import.meta.url)))), 'dist/cli/main.js');

export interface CliOutcome {
  exitCode: number;
  stdout: string;
  stderr: string;
}

export function cli({ rest }: RealCairn, ...args: string[]): Promise<CliOutcome> {
  const env = { ...process.env, CAIRN_SERVER: rest.url };
  return new Promise((resolve) => {
    execFile(process.execPath, [program, ...args], { env }, (error, stdout, stderr) => {
      resolve({ exitCode: error === null ? 0 : Number(error.code), stdout, stderr });
    });
  });
}
