/** Passphrases in files of one directory: the administrator's own, or those that systemd hands to the service (`LoadCredential=`). */
import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { CairnError } from '../errors.js';
import { passphraseBytesMax, withoutNewline, type KeyProvider } from './key-provider.js';

/** Permissions that let others than the owner read or change a file. */
const othersMask = 0o077;
/** systemd gives a service that is not root's its credentials by an access list, whose mask shows as the group's permission. */
export const credentialMask = 0o037;

export class FileKeys implements KeyProvider {
  constructor(
    private readonly directory: string,
    /** How to make a key that is missing, for the administrator. */
    private readonly advice: (file: string) => string,
    private readonly refusedMode = othersMask,
  ) {}

  async passphraseOf(key: string): Promise<Uint8Array> {
    const path = join(this.directory, key);
    const file = await this.opened(path);
    try {
      return await readStrictly(file, path, this.refusedMode);
    } finally {
      await file.close();
    }
  }

  /** A link could lead to a file whose owner did not mean it to be a key. */
  private async opened(path: string): Promise<FileHandle> {
    try {
      return await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'ENOENT') throw unavailable(`There is no key file ${path}. ${this.advice(path)}`, error);
      throw unavailable(`The key file ${path} cannot be opened (${code ?? 'unknown error'}).`, error);
    }
  }
}

async function readStrictly(file: FileHandle, path: string, refusedMode: number): Promise<Uint8Array> {
  const { mode, uid, size } = await file.stat();
  if ((mode & constants.S_IFMT) !== constants.S_IFREG) throw unavailable(`${path} is no regular file.`);
  if ((mode & refusedMode) !== 0) throw unavailable(`Others can read ${path}. Make it private: chmod 600 ${path}`);
  if (uid !== 0 && uid !== process.getuid?.())
    throw unavailable(`${path} belongs to another user. Give it to the one that runs Cairn, or to root.`);
  if (size > passphraseBytesMax) throw unavailable(`${path} is too large for a passphrase: at most 8 MiB.`);
  const bytes = Buffer.alloc(size);
  const { bytesRead } = await file.read(bytes, 0, size, 0);
  const passphrase = withoutNewline(bytes.subarray(0, bytesRead));
  if (passphrase.length === 0) throw unavailable(`${path} is empty.`);
  return passphrase;
}

function unavailable(detail: string, cause?: unknown): CairnError {
  return new CairnError('key-unavailable', detail, { cause });
}
