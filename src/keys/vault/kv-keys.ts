/** Passphrases that are fields of secrets in Vault's KV engine. */
import type { CairnError } from '../../errors.js';
import { unavailable, withoutNewline, type KeyProvider } from '../key-provider.js';
import type { VaultClient } from './client.js';
import { bytesOf, fieldOf } from './json.js';
import type { VaultOperation } from './operation.js';
import { isVaultPath, type VaultSettings } from './settings.js';

export class VaultKvKeys implements KeyProvider {
  constructor(
    private readonly client: VaultClient,
    private readonly settings: VaultSettings['kv'],
  ) {}

  async passphraseOf(key: string): Promise<Uint8Array> {
    if (!isVaultPath(key))
      throw unavailable(
        `The key ${JSON.stringify(key)} cannot be a path in Vault: no part of it may begin or end with a "." or have two in a row.`,
      );
    const { version, field } = this.settings;
    const document = await this.client.ask(this.operation(key));
    const text = fieldOf(document, ...(version === 1 ? ['data'] : ['data', 'data']), field);
    if (text === undefined) throw this.unusable(key, `has no field ${field}`);
    if (typeof text !== 'string') throw this.unusable(key, `has a field ${field} that is no text`);
    const passphrase = withoutNewline(bytesOf(text, 'utf8'));
    if (passphrase.length > 0) return passphrase;
    throw this.unusable(key, `has an empty field ${field}`);
  }

  /** "Read Secret Version" of the KV engine's API, version 2: the newest one; "Read Secret" of version 1. */
  private operation(key: string): VaultOperation {
    const { mount, version } = this.settings;
    const path = [mount, ...(version === 1 ? [] : ['data']), this.pathOf(key)].join('/');
    return {
      method: 'GET',
      path,
      advice: {
        403: `The token has expired, or its policy lacks: path "${path}" { capabilities = ["read"] }`,
        404: (document) => this.absence(key, document),
        405: `Check that keys.vault.kv.mount, ${mount}, is a KV engine of version ${version}: vault secrets list -detailed.`,
      },
    };
  }

  /** A deleted version is answered with 404 and its metadata; what was never there, with 404 alone. */
  private absence(key: string, document: unknown): string {
    const version = fieldOf(document, 'data', 'metadata', 'version');
    if (typeof version === 'number') {
      const isDestroyed = fieldOf(document, 'data', 'metadata', 'destroyed') === true;
      const flags = this.flags(key);
      if (isDestroyed)
        return `Version ${version}, the newest of ${this.secret(key)}, is destroyed. Bring back an older one: vault kv rollback -version=VERSION ${flags}`;
      return `Version ${version}, the newest of ${this.secret(key)}, is deleted. Bring it back: vault kv undelete -versions=${version} ${flags}`;
    }
    const { mount, version: engine } = this.settings;
    return `There is no ${this.secret(key)}, or ${mount} is no KV engine of version ${engine} (keys.vault.kv). For a new volume, make one: head -c 32 /dev/urandom | base64 | vault kv put ${this.flags(key)} ${this.settings.field}=-`;
  }

  /** What is there already may be the only copy of something: nothing that is told replaces it. */
  private unusable(key: string, what: string): CairnError {
    const { version, field } = this.settings;
    const command = version === 1 ? '' : `: vault kv patch ${this.flags(key)} ${field}=-`;
    return unavailable(`The ${this.secret(key)} ${what}. Add the passphrase of the volume as that field${command}`);
  }

  private flags(key: string): string {
    return `-mount=${this.settings.mount} ${this.pathOf(key)}`;
  }

  private secret(key: string): string {
    return `secret ${this.settings.mount}/${this.pathOf(key)}`;
  }

  private pathOf(key: string): string {
    return this.settings.path === '' ? key : `${this.settings.path}/${key}`;
  }
}
