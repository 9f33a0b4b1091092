/** Passphrases whose ciphertext is in a file, and whose key is in Vault's transit engine and never leaves it. */
import { FileKeys } from '../file-keys.js';
import { unavailable, type KeyProvider } from '../key-provider.js';
import type { VaultClient } from './client.js';
import { bytesOf, fieldOf } from './json.js';
import type { VaultOperation } from './operation.js';
import type { VaultSettings } from './settings.js';

/** As transit writes it: the version of its key, and base64. */
const ciphertextForm = /^vault:v[1-9]\d*:[A-Za-z0-9+/]+={0,2}$/;
const base64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

export class VaultTransitKeys implements KeyProvider {
  private readonly files: FileKeys;

  constructor(
    private readonly client: VaultClient,
    private readonly settings: VaultSettings['transit'],
  ) {
    this.files = new FileKeys(settings.directory, (file) => `For a new volume, make one: ${this.makeCommand(file)}`);
  }

  /** Exactly the bytes that were encrypted: a newline at their end belongs to them. */
  async passphraseOf(key: string): Promise<Uint8Array> {
    const file = `${this.settings.directory}/${key}`;
    const text = fieldOf(
      await this.client.ask(this.operation(file, await this.ciphertextOf(key, file))),
      'data',
      'plaintext',
    );
    if (typeof text === 'string' && text !== '' && base64.test(text)) return bytesOf(text, 'base64');
    throw unavailable(
      `Vault has decrypted ${file} to nothing that could be a passphrase. Put back the ciphertext that the volume was made with.`,
    );
  }

  private async ciphertextOf(key: string, file: string): Promise<string> {
    const bytes = await this.files.passphraseOf(key);
    const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1').trim();
    bytes.fill(0);
    if (ciphertextForm.test(text)) return text;
    throw unavailable(
      `${file} holds no ciphertext of transit's, which begins with vault:v1: or another version. Put back the one that the volume was made with.`,
    );
  }

  /** "Decrypt Data" of the transit engine's API. */
  private operation(file: string, ciphertext: string): VaultOperation {
    const { mount, key } = this.settings;
    const path = `${mount}/decrypt/${key}`;
    const mismatch = `Check that ${file} was made with this key of transit, and whole.`;
    return {
      method: 'POST',
      path,
      body: { ciphertext },
      advice: {
        400: mismatch,
        403: `The token has expired, or its policy lacks: path "${path}" { capabilities = ["update"] }`,
        404: `Check that keys.vault.transit.mount, ${mount}, is a transit engine: vault secrets list.`,
        405: `Check that keys.vault.transit.mount, ${mount}, is a transit engine: vault secrets list.`,
        500: `It has failed, or has no active node. Look at its log. ${mismatch}`,
      },
    };
  }

  private makeCommand(file: string): string {
    const { mount, key } = this.settings;
    return `(umask 077; vault write -f -field=ciphertext ${mount}/datakey/wrapped/${key} > ${file})`;
  }
}
