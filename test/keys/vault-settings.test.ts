/** What `keys.vault` may say. */
import { describe, expect, it } from 'vitest';
import { checkVaultSettings } from '../../src/keys/vault/settings.js';
import { scratchDirectory } from '../support/scratch.js';
import { changed, vaultSettings, type SettingsChange } from '../support/vault-fixture.js';

const settingsWith = (change: SettingsChange) =>
  changed(vaultSettings('https://vault.example:8200', scratchDirectory()), change);

describe('the settings of Vault', () => {
  it.each<SettingsChange>([
    {},
    { address: '', tokenFile: '' },
    { address: 'https://10.0.0.7' },
    { address: 'https://proxy.example/vault/' },
    { address: 'http://127.0.0.1:8200' },
    { address: 'http://127.8.9.1:8200' },
    { address: 'http://[::1]:8200' },
    { address: 'http://localhost:8200' },
    { namespace: 'team-a/sub/' },
    { kv: { path: '', mount: 'kv/Prod.1' } },
    { tokenFile: '', approle: { roleId: 'a', secretIdFile: '/etc/cairn/secret-id' } },
  ])('may be %j', (change) => {
    expect(() => checkVaultSettings(settingsWith(change))).not.toThrow();
  });

  it.each<[SettingsChange, string]>([
    [{ address: 'vault.example:8200' }, 'address'],
    [{ address: 'http://vault.example:8200' }, 'address'],
    [{ address: 'http://10.0.0.7:8200' }, 'address'],
    [{ address: 'http://127.0.0.1.example:8200' }, 'address'],
    [{ address: 'http://localhost.example:8200' }, 'address'],
    [{ address: 'https://me:secret@vault.example' }, 'address'],
    [{ address: 'https://vault.example?a=b' }, 'address'],
    [{ address: 'https://vault.example#a' }, 'address'],
    [{ address: 'unix:///run/vault.sock' }, 'address'],
    [{ tokenFile: '' }, 'tokenFile'],
    [{ approle: { roleId: 'a', secretIdFile: '/b' } }, 'tokenFile'],
    [{ tokenFile: '', approle: { roleId: 'a' } }, 'approle'],
    [{ tokenFile: '', approle: { secretIdFile: '/b' } }, 'approle'],
    [{ tokenFile: '', approle: { roleId: 'a b', secretIdFile: '/b' } }, 'approle.roleId'],
    [{ namespace: '../root' }, 'namespace'],
    [{ namespace: 'a\r\nX-Vault-Token: b' }, 'namespace'],
    [{ kv: { mount: 'secret/../sys' } }, 'kv.mount'],
    [{ kv: { mount: 'secret?' } }, 'kv.mount'],
    [{ kv: { path: '/cairn' } }, 'kv.path'],
    [{ kv: { path: 'cairn/' } }, 'kv.path'],
    [{ kv: { path: 'cairn.' } }, 'kv.path'],
    [{ transit: { mount: '' } }, 'transit.mount'],
    [{ transit: { key: '%2e%2e' } }, 'transit.key'],
    [{ approle: { mount: 'a b' } }, 'approle.mount'],
  ])('are refused when they are %j, by name', (change, field) => {
    const check = () => checkVaultSettings(settingsWith(change));
    const named = expect.objectContaining({ code: 'invalid-config', field: `keys.vault.${field}` }) as Error;
    expect(check).toThrow(named);
    expect(check).not.toThrow(/secret@/);
  });
});
