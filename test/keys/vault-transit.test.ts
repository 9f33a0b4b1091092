/** Passphrases that Vault's transit engine decrypts. */
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { VaultClient } from '../../src/keys/vault/client.js';
import { VaultTransitKeys } from '../../src/keys/vault/transit-keys.js';
import type { VaultSettings } from '../../src/keys/vault/settings.js';
import { keyRefusal } from '../support/key-refusal.js';
import { changed, freshVault, privateFile, quickTimes, vaultToken } from '../support/vault-fixture.js';

const canary = 'canary-passphrase-c3a8';

const keysOf = (settings: VaultSettings) =>
  new VaultTransitKeys(new VaultClient(settings, { times: quickTimes }), settings.transit);

const refusal = (given: Promise<unknown>) => keyRefusal(given, canary, vaultToken);

async function transit() {
  const fixture = await freshVault();
  fixture.vault.rotate('cairn');
  const give = (text: string, mode = 0o600) => privateFile(join(fixture.settings.transit.directory, 'db'), text, mode);
  return { ...fixture, give };
}

describe('a passphrase that transit decrypts', () => {
  it.each([
    ['text', Buffer.from(canary)],
    ['bytes', Buffer.from([0, 255, 10, 128, 13])],
    ['with a newline at the end, which is part of it', Buffer.from([1, 2, 10])],
  ])('is what was encrypted: %s', async (_what, passphrase) => {
    const { vault, settings, give } = await transit();
    give(`${vault.encrypted('cairn', passphrase)}\n`);
    const given = await keysOf(settings).passphraseOf('db');
    expect(Buffer.from(given).equals(passphrase)).toBe(true);
    expect(given.buffer.byteLength).toBe(passphrase.length);
    expect(vault.requests).toMatchObject([{ method: 'POST', path: '/v1/transit/decrypt/cairn', token: vaultToken }]);
  });

  it('outlives a rotation of the key', async () => {
    const { vault, settings, give } = await transit();
    give(vault.encrypted('cairn', Buffer.from(canary)));
    vault.rotate('cairn');
    const old = await keysOf(settings).passphraseOf('db');
    give(vault.encrypted('cairn', Buffer.from(canary)));
    expect(await keysOf(settings).passphraseOf('db')).toEqual(old);
  });
});

describe('a ciphertext file', () => {
  it.each([
    ['with a passphrase in it', `${canary}\n`],
    ['with half a ciphertext', 'vault:v1:'],
    ['of version 0', 'vault:v0:AAAA'],
    ['with two', 'vault:v1:AAAA\nvault:v1:AAAA\n'],
  ])('is not sent to Vault %s', async (_what, text) => {
    const { vault, settings, give } = await transit();
    give(text);
    expect(await refusal(keysOf(settings).passphraseOf('db'))).toMatch(/holds no ciphertext .*Put back the one/);
    expect(vault.requests).toEqual([]);
  });

  it('that is missing is told with how to make one', async () => {
    const { settings } = await transit();
    const told = await refusal(keysOf(settings).passphraseOf('db'));
    expect(told).toMatch(
      /There is no key file .*db\. For a new volume, make one: .*vault write -f -field=ciphertext transit\/datakey\/wrapped\/cairn > .*db/,
    );
  });

  it('that others can write is refused', async () => {
    const { vault, settings, give } = await transit();
    give(vault.encrypted('cairn', Buffer.from(canary)), 0o602);
    expect(await refusal(keysOf(settings).passphraseOf('db'))).toContain('chmod 600');
  });

  it('has no path as its name', async () => {
    const { settings } = await transit();
    expect(await refusal(keysOf(settings).passphraseOf('../transit/db'))).toContain('cannot be a file');
  });

  it('of another key, or damaged, is refused', async () => {
    const { vault, settings, give } = await transit();
    vault.rotate('other');
    give(vault.encrypted('other', Buffer.from(canary)));
    expect(await refusal(keysOf(settings).passphraseOf('db'))).toMatch(
      /with 400 \(cipher: message authentication failed\)\. Check that .*db was made with this key/,
    );
  });
});

describe('transit', () => {
  it('without the key says so', async () => {
    const { vault, settings, give } = await transit();
    give(vault.encrypted('cairn', Buffer.from(canary)));
    const other = changed(settings, { transit: { key: 'none' } });
    expect(await refusal(keysOf(other).passphraseOf('db'))).toContain('400 (encryption key not found)');
  });

  it('that the policy does not allow is told with the policy', async () => {
    const { vault, settings, give } = await transit();
    give(vault.encrypted('cairn', Buffer.from(canary)));
    vault.allow(vaultToken, { 'transit/decrypt/cairn': 'read' });
    expect(await refusal(keysOf(settings).passphraseOf('db'))).toContain(
      'path "transit/decrypt/cairn" { capabilities = ["update"] }',
    );
  });

  it.each([
    ['nothing', { data: { plaintext: '' } }],
    ['no base64', { data: { plaintext: `${canary}!` } }],
    ['no text', { data: { plaintext: 12 } }],
    ['no data', { data: null }],
  ])('that decrypts to %s is refused', async (_what, body) => {
    const { vault, settings, give } = await transit();
    give(vault.encrypted('cairn', Buffer.from(canary)));
    vault.nextAnswers.push({ status: 200, body });
    expect(await refusal(keysOf(settings).passphraseOf('db'))).toContain('to nothing');
  });
});
