/** What a unix socket's path leads to: a process, or what a dead one left. */
import { unlink } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { CairnError } from '../errors.js';

/** Whether a process listens there. */
export function isListening(path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', (error: NodeJS.ErrnoException) => {
      const isGone = ['ECONNREFUSED', 'ENOENT', 'ECONNRESET'].includes(error.code ?? ''); // reset: it is dying
      if (isGone) resolve(false);
      else if (error.code === 'EAGAIN')
        resolve(true); // alive, with a full backlog
      else reject(error);
    });
  });
}

/** Removes a dead process's socket; refuses a live one's. */
export async function clearStaleSocket(path: string): Promise<void> {
  if (await isListening(path)) {
    throw new CairnError('address-in-use', `Another process listens on ${path}. End it first.`);
  }
  await removeSocket(path);
}

export async function removeSocket(path: string): Promise<void> {
  try {
    await unlink(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}
