/** Programs of the system that are run for what no library of ours does. */
import { execFile } from 'node:child_process';
import { CairnError } from '../errors.js';

/** Making a file system on a large disk takes a while; none may hang for ever. */
const timeoutMs = 600_000;
/** Where they are; a service's PATH may lack some. */
const environment = { PATH: '/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin', LC_ALL: 'C' };

export interface Outcome {
  status: number;
  stdout: string;
  /** In one line. */
  message: string;
}

/** How it ended. Throws `program-missing`, and `io-error` when it was ended by a signal. */
export function attempt(program: string, args: readonly string[]): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    execFile(program, args, { env: environment, timeout: timeoutMs }, (error, stdout, stderr) => {
      const message = stderr.trim().replaceAll(/\s+/g, ' ');
      if (error === null) return resolve({ status: 0, stdout, message });
      if (error.code === 'ENOENT')
        return reject(new CairnError('program-missing', `${program} is not installed. Install it, then try again.`));
      if (typeof error.code === 'number') return resolve({ status: error.code, stdout, message });
      reject(new CairnError('io-error', `${program} was ended: ${error.message}.`, { cause: error }));
    });
  });
}

/** What it prints. Throws `io-error` with what it says when it fails. */
export async function run(program: string, ...args: string[]): Promise<string> {
  const { status, stdout, message } = await attempt(program, args);
  if (status === 0) return stdout;
  throw new CairnError('io-error', `${program} failed with status ${status}: ${message || 'it says nothing'}.`);
}
