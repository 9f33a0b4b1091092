/** Passphrases in files of one directory: the administrator's own, or those that systemd hands to the service (`LoadCredential=`). */
import { join } from 'node:path';
import { unavailable, withoutNewline, type KeyProvider } from './key-provider.js';
import { readPrivateFile } from './private-file.js';

export class FileKeys implements KeyProvider {
  constructor(
    private readonly directory: string,
    /** How to make a key that is missing, for the administrator. */
    private readonly advice: (file: string) => string,
    private readonly refusedMode?: number,
  ) {}

  async passphraseOf(key: string): Promise<Uint8Array> {
    if (key.includes('/')) throw unavailable(`The key ${key} cannot be a file: its name has a "/" in it.`);
    const path = join(this.directory, key);
    const { refusedMode } = this;
    const file = {
      path,
      what: 'key file',
      advice: this.advice(path),
      ...(refusedMode !== undefined && { refusedMode }),
    };
    const passphrase = withoutNewline(await readPrivateFile(file));
    if (passphrase.length === 0) throw unavailable(`${path} is empty.`);
    return passphrase;
  }
}
