/** The key providers by name, as the configuration says, and the one way to a passphrase. */
import type { KeyRef, KeySource } from './key-source.js';
import { CairnError } from '../errors.js';
import { CommandKeys } from './command-keys.js';
import { keepOutOfCoreDumps } from './core-dumps.js';
import { FileKeys } from './file-keys.js';
import { keyProviderNames, unavailable, type KeyProvider, type KeyProviderName } from './key-provider.js';
import { credentialMask } from './private-file.js';
import { VaultClient } from './vault/client.js';
import { VaultKvKeys } from './vault/kv-keys.js';
import { checkVaultSettings, type VaultSettings } from './vault/settings.js';
import { VaultTransitKeys } from './vault/transit-keys.js';

export interface KeySettings {
  /** Holds a file for each key. */
  directory: string;
  /** A program, or empty. */
  command: string;
  /** Where systemd has put the service's credentials; undefined: it runs without any. */
  credentialsDirectory: string | undefined;
  /** Undefined or without an address: there is no Vault. */
  vault?: VaultSettings;
}

export class KeyProviders implements KeySource {
  constructor(private readonly providers: Readonly<Record<KeyProviderName, KeyProvider>>) {}

  /** Throws `invalid-config` for settings that contradict each other. */
  static from({ directory, command, credentialsDirectory, vault }: KeySettings): KeyProviders {
    return new KeyProviders({
      file: new FileKeys(directory, adviceOnFile),
      credential: credentialKeys(credentialsDirectory),
      command: new CommandKeys(command),
      ...vaultKeys(vault && { ...vault, credentialsDirectory }),
    });
  }

  async use<Result>({ provider, key }: KeyRef, use: (passphrase: Uint8Array) => Promise<Result>): Promise<Result> {
    const known = keyProviderNames.find((name) => name === provider);
    if (!known) throw new CairnError('key-unavailable', `There is no key provider ${JSON.stringify(provider)}.`);
    keepOutOfCoreDumps();
    const passphrase = await this.providers[known].passphraseOf(key);
    try {
      return await use(passphrase);
    } finally {
      passphrase.fill(0);
    }
  }
}

function credentialKeys(directory: string | undefined): KeyProvider {
  const advice = 'Add LoadCredential= or LoadCredentialEncrypted= to the unit of the service, and restart it.';
  if (directory !== undefined && directory !== '') return new FileKeys(directory, () => advice, credentialMask);
  return notSetUp(`systemd has given no credentials to this service. ${advice}`);
}

/** Both log in once and speak to Vault through the same connections. */
function vaultKeys(settings: VaultSettings | undefined): Record<'vault' | 'vault-transit', KeyProvider> {
  if (settings === undefined || settings.address === '') {
    const absent = notSetUp('No Vault is configured. Set keys.vault.address and how Cairn logs in to it.');
    return { vault: absent, 'vault-transit': absent };
  }
  checkVaultSettings(settings);
  const client = new VaultClient(settings);
  return {
    vault: new VaultKvKeys(client, settings.kv),
    'vault-transit': new VaultTransitKeys(client, settings.transit),
  };
}

function notSetUp(detail: string): KeyProvider {
  return { passphraseOf: () => Promise.reject(unavailable(detail)) };
}

/** Only the passphrase that it was made with opens a volume that is there. */
function adviceOnFile(file: string): string {
  const command = `(umask 077; head -c 32 /dev/urandom | base64 > ${file})`;
  return `Of a volume that is there, put its passphrase back. For a new one: ${command}`;
}
