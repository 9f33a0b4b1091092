/** How Cairn logs in to Vault: token files, and AppRole with its leases. */
import { chmodSync, rmSync, writeFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { VaultClient } from '../../src/keys/vault/client.js';
import { VaultKvKeys } from '../../src/keys/vault/kv-keys.js';
import type { VaultSettings } from '../../src/keys/vault/settings.js';
import { keyRefusal } from '../support/key-refusal.js';
import { byAppRole, changed, freshVault, privateFile, quickTimes, vaultToken } from '../support/vault-fixture.js';
import type { VaultStub } from '../support/vault-stub.js';

const canary = 'canary-secret-id-44b1';

const keysOf = (settings: VaultSettings, vault?: VaultStub) => {
  const options = { times: quickTimes, ...(vault && { nowMs: () => vault.nowMs }) };
  return new VaultKvKeys(new VaultClient(settings, options), settings.kv);
};

const refusal = (given: Promise<unknown>) => keyRefusal(given, canary, vaultToken);

async function vaultWithKey() {
  const fixture = await freshVault();
  fixture.vault.put('cairn/db', { passphrase: 'of db' });
  return fixture;
}

const loginsAt = (vault: VaultStub) => vault.requests.filter(({ path }) => path === '/v1/auth/approle/login').length;

describe('a token file', () => {
  it('is read each time: whoever renews it need not tell', async () => {
    const { vault, settings } = await vaultWithKey();
    const keys = keysOf(settings);
    await keys.passphraseOf('db');
    vault.revoke(vaultToken);
    expect(await refusal(keys.passphraseOf('db'))).toContain('The token has expired, or its policy lacks');
    vault.allow('hvs.renewed');
    writeFileSync(settings.tokenFile, 'hvs.renewed');
    await keys.passphraseOf('db');
    expect(vault.requests.map(({ token }) => token)).toEqual([vaultToken, vaultToken, 'hvs.renewed']);
  });

  it.each<[string, (file: string) => void, RegExp]>([
    ['is missing', (file) => rmSync(file), /There is no token file .*token\. Let Vault Agent write it/],
    ['others can read', (file) => chmodSync(file, 0o640), /chmod 600/],
    ['is empty', (file) => writeFileSync(file, '\n'), /must hold one line/],
    ['has two lines', (file) => writeFileSync(file, `${canary}\n${canary}\n`), /must hold one line/],
    ['has what no header takes', (file) => writeFileSync(file, `${canary}\u0007`), /must hold one line/],
  ])('is refused when it %s', async (_what, spoil, detail) => {
    const { vault, settings } = await vaultWithKey();
    spoil(settings.tokenFile);
    expect(await refusal(keysOf(settings).passphraseOf('db'))).toMatch(detail);
    expect(vault.requests).toEqual([]);
  });
});

describe("systemd's credentials", () => {
  it('may be the token or the secret ID, with the mode that they have for a service that is not root', async () => {
    const fixture = await vaultWithKey();
    const { directory: credentialsDirectory } = fixture;
    for (const settings of [fixture.settings, byAppRole(fixture)]) {
      chmodSync(settings.tokenFile || settings.approle.secretIdFile, 0o440);
      await keysOf({ ...settings, credentialsDirectory }).passphraseOf('db');
      const elsewhere = { ...settings, credentialsDirectory: '/run/credentials/other.service' };
      expect(await refusal(keysOf(elsewhere).passphraseOf('db'))).toContain('chmod 600');
    }
  });
});

describe('AppRole', () => {
  it('logs in once for all who ask at the same time, and for those after them', async () => {
    const fixture = await vaultWithKey();
    const keys = keysOf(byAppRole(fixture), fixture.vault);
    await Promise.all(Array.from({ length: 20 }, () => keys.passphraseOf('db')));
    await keys.passphraseOf('db');
    expect(loginsAt(fixture.vault)).toBe(1);
    expect(fixture.vault.requests.filter(({ token }) => token?.startsWith('hvs.'))).toHaveLength(21);
  });

  it('logs in again before the lease ends', async () => {
    const fixture = await vaultWithKey();
    const { vault } = fixture;
    const keys = keysOf(byAppRole(fixture), vault);
    await keys.passphraseOf('db');
    vault.nowMs = 53_999;
    await keys.passphraseOf('db');
    expect(loginsAt(vault)).toBe(1);
    vault.nowMs = 54_000;
    await keys.passphraseOf('db');
    expect(loginsAt(vault)).toBe(2);
  });

  it('takes a lease of no seconds for one without end', async () => {
    const fixture = await vaultWithKey();
    const { vault } = fixture;
    vault.leaseSeconds = 0;
    const keys = keysOf(byAppRole(fixture), vault);
    await keys.passphraseOf('db');
    vault.nowMs = 1e12;
    await keys.passphraseOf('db');
    expect(loginsAt(vault)).toBe(1);
  });

  it('logs in again when its token was revoked', async () => {
    const fixture = await vaultWithKey();
    const keys = keysOf(byAppRole(fixture), fixture.vault);
    await keys.passphraseOf('db');
    fixture.vault.revokeAll();
    await Promise.all([keys.passphraseOf('db'), keys.passphraseOf('db')]);
    expect(loginsAt(fixture.vault)).toBe(2);
  });

  it('keeps the new token when the old one is refused once more, late', async () => {
    const fixture = await vaultWithKey();
    const { vault } = fixture;
    const keys = keysOf(byAppRole(fixture), vault);
    await keys.passphraseOf('db');
    vault.revokeAll();
    const held = new Promise<ServerResponse>((resolve) => vault.nextAnswers.push(resolve));
    const late = keys.passphraseOf('db');
    const response = await held;
    await keys.passphraseOf('db');
    response.writeHead(403).end('{"errors":["permission denied"]}');
    await late;
    expect(loginsAt(vault)).toBe(2);
  });

  it('does not log in again for what a new token is not allowed either', async () => {
    const fixture = await vaultWithKey();
    fixture.vault.rolePolicy = {};
    const keys = keysOf(byAppRole(fixture), fixture.vault);
    expect(await refusal(keys.passphraseOf('db'))).toContain('its policy lacks');
    expect(loginsAt(fixture.vault)).toBe(1);
  });

  it('shows no secret ID that Vault refuses and quotes, and takes the next one from the file', async () => {
    const fixture = await vaultWithKey();
    const settings = byAppRole(fixture, canary);
    const keys = keysOf(settings, fixture.vault);
    const told = await refusal(keys.passphraseOf('db'));
    expect(told).toMatch(
      /auth\/approle\/login with 400\. Check keys\.vault\.approle\.roleId, and put a new secret ID into/,
    );
    fixture.vault.newSecretId(canary);
    await keys.passphraseOf('db');
  });

  it('may be mounted elsewhere, and says so when it is not there', async () => {
    const fixture = await vaultWithKey();
    const settings = changed(byAppRole(fixture), { approle: { mount: 'machines/approle' } });
    fixture.vault.nextAnswers.push({ status: 404, body: { errors: [] } });
    expect(await refusal(keysOf(settings).passphraseOf('db'))).toContain('vault auth list');
    expect(fixture.vault.requests[0]?.path).toBe('/v1/auth/machines/approle/login');
  });

  it.each([
    ['no token', { auth: null }],
    ['a token that is none', { auth: { client_token: `${canary}\r\nX-Other: x`, lease_duration: 60 } }],
  ])('does not go on with %s', async (_what, body) => {
    const fixture = await vaultWithKey();
    fixture.vault.nextAnswers.push({ status: 200, body });
    expect(await refusal(keysOf(byAppRole(fixture)).passphraseOf('db'))).toContain('without a token');
    expect(fixture.vault.requests).toHaveLength(1);
  });

  it('says that the file with the secret ID is missing', async () => {
    const fixture = await vaultWithKey();
    const settings = changed(byAppRole(fixture), { approle: { secretIdFile: join(fixture.directory, 'none') } });
    const told = await refusal(keysOf(settings).passphraseOf('db'));
    expect(told).toContain('vault write -f -field=secret_id auth/approle/role/ROLE/secret-id');
    privateFile(join(fixture.directory, 'none'), fixture.vault.newSecretId());
    await keysOf(settings).passphraseOf('db');
  });
});
