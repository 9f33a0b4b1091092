/** A Vault to ask for keys, with what Cairn needs to be let in. */
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import type { VaultTimes } from '../../src/keys/vault/connection.js';
import type { VaultSettings } from '../../src/keys/vault/settings.js';
import { scratchDirectory } from './scratch.js';
import { VaultStub, type VaultStubOptions } from './vault-stub.js';

export const vaultToken = 'hvs.canary-token-5e1f';

/** So short that what waits for them is over at once; long enough for a stub on this host to answer. */
export const quickTimes: VaultTimes = { totalMs: 10_000, attemptMs: 10_000, retryMinMs: 1, retryMaxMs: 2 };

export interface VaultFixture {
  vault: VaultStub;
  directory: string;
  /** By a token file. */
  settings: VaultSettings;
}

export type SettingsChange = Partial<Omit<VaultSettings, 'kv' | 'transit' | 'approle'>> & {
  kv?: Partial<VaultSettings['kv']>;
  transit?: Partial<VaultSettings['transit']>;
  approle?: Partial<VaultSettings['approle']>;
};

/** One that lets {@link vaultToken} in, ended with the test. */
export async function freshVault(options: VaultStubOptions = {}): Promise<VaultFixture> {
  const vault = await VaultStub.start(options);
  onTestFinished(() => vault.close());
  vault.allow(vaultToken);
  const directory = scratchDirectory();
  mkdirSync(join(directory, 'transit'), { mode: 0o700 });
  return { vault, directory, settings: vaultSettings(vault.address, directory) };
}

export function vaultSettings(address: string, directory: string): VaultSettings {
  return {
    address,
    namespace: '',
    caFile: '',
    tokenFile: privateFile(join(directory, 'token'), `${vaultToken}\n`),
    approle: { mount: 'approle', roleId: '', secretIdFile: '' },
    kv: { mount: 'secret', version: 2, path: 'cairn', field: 'passphrase' },
    transit: { mount: 'transit', key: 'cairn', directory: join(directory, 'transit') },
  };
}

export function changed(settings: VaultSettings, { kv, transit, approle, ...change }: SettingsChange): VaultSettings {
  return {
    ...settings,
    ...change,
    kv: { ...settings.kv, ...kv },
    transit: { ...settings.transit, ...transit },
    approle: { ...settings.approle, ...approle },
  };
}

/** By AppRole, with a secret ID of its own. */
export function byAppRole({ vault, directory, settings }: VaultFixture, secretId = vault.newSecretId()): VaultSettings {
  const secretIdFile = privateFile(join(directory, 'secret-id'), `${secretId}\n`);
  return changed(settings, { tokenFile: '', approle: { roleId: vault.roleId, secretIdFile } });
}

export function privateFile(path: string, content: string, mode = 0o600): string {
  writeFileSync(path, content);
  chmodSync(path, mode);
  return path;
}
