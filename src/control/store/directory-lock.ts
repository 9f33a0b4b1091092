/**
 * Makes a process the only one that uses a directory: an flock on a file in it, which the kernel gives up with the process.
 *
 * Node cannot flock. flock(1) (util-linux) can, on a descriptor that it inherits: the lock belongs to the open file, which
 * stays open here after flock(1) has ended. Node opens with O_CLOEXEC, so no other child inherits it.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { CairnError } from '../../errors.js';

/** What flock(1) exits with, as told by `-E`, when another holds the lock. */
const lockedExitCode = 75;

export interface DirectoryLock {
  release(): Promise<void>;
}

/** Rejects with `store-locked` at once when another process, or this one, holds the lock. */
export async function lockDirectory(directory: string): Promise<DirectoryLock> {
  const file = await open(join(directory, 'lock'), 'a');
  try {
    await lock(file.fd, directory);
  } catch (error) {
    await file.close();
    throw error;
  }
  return { release: () => file.close() };
}

async function lock(descriptor: number, directory: string): Promise<void> {
  const child = spawn('flock', ['--exclusive', '--nonblock', '-E', String(lockedExitCode), '3'], {
    stdio: ['ignore', 'ignore', 'ignore', descriptor],
  });
  const [exitCode] = (await once(child, 'exit').catch((cause: unknown) => {
    throw new CairnError('io-error', 'flock(1) cannot be run: install the package util-linux.', { cause });
  })) as [number | null];
  if (exitCode === 0) return;
  if (exitCode !== lockedExitCode)
    throw new CairnError(
      'io-error',
      `${directory} cannot be locked (flock(1) ended with ${exitCode}): use a file system that has locks.`,
    );
  throw new CairnError(
    'store-locked',
    `Another process uses the store in ${directory}. Stop the other \`cairn serve\`, or choose another data directory.`,
  );
}
