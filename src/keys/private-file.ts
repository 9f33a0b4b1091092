/** Files that only their owner may read: passphrases, tokens. */
import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { passphraseBytesMax, unavailable } from './key-provider.js';

/** Permissions that let others than the owner read or change a file. */
const othersMask = 0o077;
/** systemd gives a service that is not root's its credentials by an access list, whose mask shows as the group's permission. */
export const credentialMask = 0o037;

export interface PrivateFile {
  path: string;
  /** What it is, for errors: `key file`. */
  what: string;
  /** What to do when it is missing, a sentence. */
  advice: string;
  /** Permissions that it must not have. */
  refusedMode?: number;
}

/**
 * Its bytes, in memory of their own. Throws `key-unavailable` for one that is missing, too large, somebody else's, or open to others;
 * what it says never holds a byte of the file.
 */
export async function readPrivateFile({ path, what, advice, refusedMode }: PrivateFile): Promise<Uint8Array> {
  const file = await opened(path, what, advice);
  try {
    return await readStrictly(file, path, refusedMode ?? othersMask);
  } finally {
    await file.close();
  }
}

/** A link could lead to a file whose owner did not mean it to be read here. */
async function opened(path: string, what: string, advice: string): Promise<FileHandle> {
  try {
    return await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') throw unavailable(`There is no ${what} ${path}. ${advice}`, error);
    throw unavailable(`The ${what} ${path} cannot be opened (${code ?? 'unknown error'}).`, error);
  }
}

async function readStrictly(file: FileHandle, path: string, refusedMode: number): Promise<Uint8Array> {
  const { mode, uid, size } = await file.stat();
  if ((mode & constants.S_IFMT) !== constants.S_IFREG) throw unavailable(`${path} is no regular file.`);
  if ((mode & refusedMode) !== 0) throw unavailable(`Others can read ${path}. Make it private: chmod 600 ${path}`);
  if (uid !== 0 && uid !== process.getuid?.())
    throw unavailable(`${path} belongs to another user. Give it to the one that runs Cairn, or to root.`);
  if (size > passphraseBytesMax) throw unavailable(`${path} is too large: at most 8 MiB.`);
  const bytes = Buffer.alloc(size);
  const { bytesRead } = await file.read(bytes, 0, size, 0);
  return bytes.subarray(0, bytesRead);
}
