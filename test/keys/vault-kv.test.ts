/** Passphrases in Vault's KV engine: what is taken, and what each refusal of Vault's is turned into. */
import { chmodSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { KeyProviders } from '../../src/keys/key-providers.js';
import { VaultClient } from '../../src/keys/vault/client.js';
import { documentIn } from '../../src/keys/vault/json.js';
import { VaultKvKeys } from '../../src/keys/vault/kv-keys.js';
import type { VaultSettings } from '../../src/keys/vault/settings.js';
import { keyRefusal } from '../support/key-refusal.js';
import { changed, freshVault, quickTimes, vaultToken, type SettingsChange } from '../support/vault-fixture.js';

const canary = 'canary-passphrase-9d2c';

const keysOf = (settings: VaultSettings, times = quickTimes) =>
  new VaultKvKeys(new VaultClient(settings, { times }), settings.kv);

const textOf = async (given: Promise<Uint8Array>) => Buffer.from(await given).toString();

const refusal = (given: Promise<unknown>) => keyRefusal(given, canary, vaultToken);

describe('a passphrase in a KV engine', () => {
  it('is a field of the newest version', async () => {
    const { vault, settings } = await freshVault();
    vault.put('cairn/db', { passphrase: 'old' });
    vault.put('cairn/db', { passphrase: `${canary}\n`, other: 'x' });
    expect(await textOf(keysOf(settings).passphraseOf('db'))).toBe(canary);
    expect(vault.requests).toEqual([
      { method: 'GET', path: '/v1/secret/data/cairn/db', token: vaultToken, namespace: undefined },
    ]);
  });

  it.each<[string, SettingsChange, string]>([
    ['another field', { kv: { field: 'luks' } }, 'cairn/db'],
    ['another place', { kv: { path: 'teams/Storage.1' } }, 'teams/Storage.1/db'],
    ['the top of the engine', { kv: { path: '' } }, 'db'],
    ['a namespace', { namespace: 'team-a/' }, 'cairn/db'],
  ])('may be in %s', async (_what, change, path) => {
    const { vault, settings } = await freshVault();
    if (change.namespace !== undefined) vault.namespace = 'team-a';
    vault.put(path, { [change.kv?.field ?? 'passphrase']: canary });
    expect(await textOf(keysOf(changed(settings, change)).passphraseOf('db'))).toBe(canary);
  });

  it('may be in an engine of version 1', async () => {
    const { vault, settings } = await freshVault({ kvVersion: 1 });
    vault.put('cairn/db', { passphrase: canary });
    expect(await textOf(keysOf(changed(settings, { kv: { version: 1 } })).passphraseOf('db'))).toBe(canary);
  });

  it('may have a path as its name', async () => {
    const { vault, settings } = await freshVault();
    vault.put('cairn/team/db.1', { passphrase: canary });
    expect(await textOf(keysOf(settings).passphraseOf('team/db.1'))).toBe(canary);
  });

  it.each(['../db', 'a/../db', 'a..b', 'db.', '.db', '/db', 'db/', 'a//b', 'db?version=1', 'db#', '%2e%2e/db', ''])(
    'is not looked for under the name %j',
    async (key) => {
      const { vault, settings } = await freshVault();
      expect(await refusal(keysOf(settings).passphraseOf(key))).toContain('cannot be a path in Vault');
      expect(vault.requests).toEqual([]);
    },
  );

  it('is kept as it is when it is not ASCII', async () => {
    const { vault, settings } = await freshVault();
    vault.put('cairn/db', { passphrase: 'Schlüssel 🔑\u0000\n\n' });
    expect(await textOf(keysOf(settings).passphraseOf('db'))).toBe('Schlüssel 🔑\u0000\n');
  });

  it('is in memory of its own, and the answer is zeroed', async () => {
    const { vault, settings } = await freshVault();
    vault.put('cairn/db', { passphrase: canary });
    const passphrase = await keysOf(settings).passphraseOf('db');
    expect(passphrase.buffer.byteLength).toBe(canary.length);
    const body = Buffer.from(JSON.stringify({ passphrase: canary }));
    expect(documentIn(body)).toEqual({ passphrase: canary });
    expect(body.every((byte) => byte === 0)).toBe(true);
  });
});

describe('a secret without a passphrase', () => {
  const make = (fill: (vault: Awaited<ReturnType<typeof freshVault>>['vault']) => void) => fill;
  it.each([
    [
      'that does not exist',
      make(() => {}),
      /There is no secret secret\/cairn\/db, or .*For a new volume, .*vault kv put -mount=secret cairn\/db passphrase=-$/,
    ],
    [
      'whose newest version is deleted',
      make((vault) => {
        vault.put('cairn/db', { passphrase: canary });
        vault.put('cairn/db', { passphrase: canary });
        vault.deleteNewest('cairn/db');
      }),
      /Version 2, .* is deleted\. .*vault kv undelete -versions=2 -mount=secret cairn\/db$/,
    ],
    [
      'whose newest version is destroyed',
      make((vault) => {
        vault.put('cairn/db', { passphrase: canary });
        vault.destroyNewest('cairn/db');
      }),
      /Version 1, .* is destroyed\. .*vault kv rollback -version=VERSION -mount=secret cairn\/db$/,
    ],
    [
      'without the field',
      make((vault) => vault.put('cairn/db', { password: canary })),
      /has no field passphrase\. Add .*: vault kv patch -mount=secret cairn\/db passphrase=-$/,
    ],
    [
      'with a number',
      make((vault) => vault.put('cairn/db', { passphrase: 12 })),
      /has a field passphrase that is no text/,
    ],
    [
      'with an object',
      make((vault) => vault.put('cairn/db', { passphrase: { a: canary } })),
      /has a field passphrase that is no text/,
    ],
    [
      'with nothing but a newline',
      make((vault) => vault.put('cairn/db', { passphrase: '\n' })),
      /has an empty field passphrase/,
    ],
  ])('is refused: one %s', async (_what, fill, detail) => {
    const { vault, settings } = await freshVault();
    fill(vault);
    expect(await refusal(keysOf(settings).passphraseOf('db'))).toMatch(detail);
  });

  it('does not come from the prototype of objects', async () => {
    const { vault, settings } = await freshVault();
    vault.put('cairn/db', { passphrase: canary });
    const asked = keysOf(changed(settings, { kv: { field: 'constructor' } })).passphraseOf('db');
    expect(await refusal(asked)).toContain('has no field constructor');
  });
});

describe("Vault's refusals", () => {
  it.each([
    [400, /name the right secrets engines/],
    [403, /policy lacks: path "secret\/data\/cairn\/db" \{ capabilities = \["read"\] \}/],
    [404, /There is no secret secret\/cairn\/db/],
    [405, /KV engine of version 2/],
    [412, /waits for data of another one/],
    [429, /rate limit quota/],
    [472, /secondary for disaster recovery/],
    [473, /performance standby/],
    [500, /Look at its log/],
    [501, /vault operator init/],
    [502, /depends on has failed/],
    [503, /sealed or down for maintenance.*vault operator unseal/],
    [504, /waited in vain/],
    [302, /keys\.vault\.address is that of Vault/],
    [204, /keys\.vault\.address is that of Vault/],
  ])('of status %i say what to do', async (status, detail) => {
    const { vault, settings } = await freshVault();
    const errors = [`what\n\t* \u001B[31mVault said to ${vaultToken}`];
    vault.nextAnswers.push(...Array.from({ length: 4 }, () => ({ status, body: { errors } })));
    const told = await refusal(keysOf(settings).passphraseOf('db'));
    expect(told).toMatch(detail);
    expect(told).toContain(`Vault at ${vault.address} answers GET /v1/secret/data/cairn/db with ${status}`);
    if (status !== 204) expect(told).toContain('(what * [31mVault said to (token))');
  });

  it('that pass are waited for', async () => {
    const { vault, settings } = await freshVault();
    vault.put('cairn/db', { passphrase: canary });
    vault.nextAnswers.push({ status: 503 }, { status: 429, headers: { 'retry-after': '3600' } }, { status: 412 });
    expect(await textOf(keysOf(settings).passphraseOf('db'))).toBe(canary);
    expect(vault.requests).toHaveLength(4);
  });

  it.each([400, 403, 404, 405, 472, 501])('of status %i do not pass: they are told at once', async (status) => {
    const { vault, settings } = await freshVault();
    vault.nextAnswers.push({ status, body: { errors: [] } });
    await refusal(keysOf(settings).passphraseOf('db'));
    expect(vault.requests).toHaveLength(1);
  });

  it('are asked about four times at most', async () => {
    const { vault, settings } = await freshVault();
    vault.isSealed = true;
    expect(await refusal(keysOf(settings).passphraseOf('db'))).toContain('(Vault is sealed)');
    expect(vault.requests).toHaveLength(4);
  });

  it.each([
    ['no JSON', `{"data": {"data": {"passphrase": "${canary}`],
    ['JSON without data', `["${canary}"]`],
    ['nothing', ''],
  ])('may be no answers of Vault at all: %s', async (_what, body) => {
    const { vault, settings } = await freshVault();
    vault.nextAnswers.push({ status: 200, body });
    expect(await refusal(keysOf(settings).passphraseOf('db'))).toContain('has no field passphrase');
  });

  it('have an end: a longer answer is not read', async () => {
    const { vault, settings } = await freshVault();
    vault.nextAnswers.push({ status: 200, body: `"${canary.repeat(200_000)}"` });
    expect(await refusal(keysOf(settings).passphraseOf('db'))).toContain('longer than 2 MiB');
    vault.put('cairn/db', { passphrase: 'x'.repeat(2 ** 21 - 1000) });
    expect(await textOf(keysOf(settings).passphraseOf('db'))).toHaveLength(2 ** 21 - 1000);
  });
});

describe('the providers', () => {
  const from = (vault: VaultSettings | undefined, credentialsDirectory?: string) =>
    KeyProviders.from({ directory: '/nowhere', command: '', credentialsDirectory, ...(vault && { vault }) });

  it('zero what Vault gave', async () => {
    const { vault, settings } = await freshVault();
    vault.put('cairn/db', { passphrase: canary });
    let seen = new Uint8Array();
    const used = from(settings).use({ provider: 'vault', key: 'db' }, (passphrase) => {
      seen = passphrase as Uint8Array<ArrayBuffer>;
      return Promise.resolve(Buffer.from(passphrase).toString());
    });
    expect(await used).toBe(canary);
    expect(seen.every((byte) => byte === 0)).toBe(true);
  });

  it.each(['vault', 'vault-transit'])('say that no Vault is configured: %s', async (provider) => {
    const { settings } = await freshVault();
    for (const vault of [undefined, { ...settings, address: '' }])
      expect(await refusal(from(vault).use({ provider, key: 'db' }, () => Promise.resolve()))).toContain(
        'Set keys.vault.address',
      );
  });

  it('refuse settings that cannot be meant so, at once', async () => {
    const { settings } = await freshVault();
    expect(() => from({ ...settings, tokenFile: '' })).toThrow(expect.objectContaining({ code: 'invalid-config' }));
  });

  it("know systemd's credentials", async () => {
    const { vault, settings, directory } = await freshVault();
    vault.put('cairn/db', { passphrase: canary });
    chmodSync(settings.tokenFile, 0o440);
    const given = from(settings, directory).use({ provider: 'vault', key: 'db' }, ({ length }) =>
      Promise.resolve(length),
    );
    expect(await given).toBe(canary.length);
  });
});
