/** Encrypted volumes whose passphrases are in Vault: over TLS, by AppRole, through a seal, and shown nowhere. */
import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { CertificateAuthority } from '../support/certificates.js';
import { NbdConnection } from '../support/nbd-connection.js';
import type { RealCairn } from '../support/real-cairn.js';
import { cli } from '../support/real-cli.js';
import { eventually } from '../support/real-deadline.js';
import { freshCairn } from '../support/real-fixture.js';
import { scratchDirectory } from '../support/scratch.js';
import { byAppRole, freshVault, privateFile, type VaultFixture } from '../support/vault-fixture.js';

const size = 64 * 2 ** 20;
const canaries = {
  passphrase: 'canary-passphrase-0c9d41',
  transit: 'canary-transit-77b2e6',
  secretId: 'canary-secret-id-1f0a88',
};

/** Vault with TLS, and a Cairn that logs in to it by AppRole. */
async function cairnWithVault(): Promise<VaultFixture & { cairn: RealCairn }> {
  const fixture = await freshVault({ certificates: certificates.directory });
  const { approle, transit } = byAppRole(fixture, canaries.secretId);
  fixture.vault.newSecretId(canaries.secretId);
  fixture.vault.rotate('cairn');
  const ciphertext = fixture.vault.encrypted('cairn', Buffer.from(canaries.transit));
  privateFile(join(transit.directory, 'sealed'), `${ciphertext}\n`);
  fixture.vault.put('cairn/team/db', { passphrase: canaries.passphrase });
  const environment = {
    CAIRN_KEYS_VAULT_ADDRESS: fixture.vault.address,
    CAIRN_KEYS_VAULT_CA_FILE: join(certificates.directory, 'ca-cert.pem'),
    CAIRN_KEYS_VAULT_APPROLE_ROLE_ID: approle.roleId,
    CAIRN_KEYS_VAULT_APPROLE_SECRET_ID_FILE: approle.secretIdFile,
    CAIRN_KEYS_VAULT_TRANSIT_DIRECTORY: transit.directory,
  };
  return { ...fixture, cairn: await freshCairn({ environment }) };
}

let certificates: CertificateAuthority;

beforeEach(() => {
  const directory = scratchDirectory();
  certificates = new CertificateAuthority(directory);
  certificates.sign('server');
});

const create = (cairn: RealCairn, name: string, ...flags: string[]) =>
  cli(cairn, 'volume', 'create', name, '--size', String(size), '--encrypt', '--key-provider', ...flags);

async function write(cairn: RealCairn, name: string, data: Buffer): Promise<void> {
  const client = await NbdConnection.open(cairn.address(), name);
  await client.write(0, data);
  await client.flush();
  await client.disconnect();
}

async function holds(cairn: RealCairn, name: string, data: Buffer): Promise<boolean> {
  const client = await NbdConnection.open(cairn.address(), name);
  const read = await client.read(0, data.length);
  await client.disconnect();
  return read.equals(data);
}

describe('a volume with its passphrase in Vault', () => {
  it('waits while Vault is sealed, says so, and is attached by itself when it is not', async () => {
    const { vault, cairn } = await cairnWithVault();
    expect(await create(cairn, 'db', 'vault', '--key', 'team/db')).toMatchObject({ exitCode: 0, stderr: '' });
    expect(await create(cairn, 'other', 'vault-transit', '--key', 'sealed')).toMatchObject({ exitCode: 0, stderr: '' });
    const data = { db: randomBytes(65_536), other: randomBytes(65_536) };
    for (const name of ['db', 'other'] as const) {
      await cairn.attach(name);
      await write(cairn, name, data[name]);
    }

    await cairn.stop();
    vault.isSealed = true;
    await cairn.startServe();
    for (const name of ['db', 'other'] as const) {
      await eventually(`${name} waits`, async () => (await cairn.volume(name)).state === 'faulted');
      const shown = (await cli(cairn, 'volume', 'show', name)).stdout.replaceAll(/\s+/g, ' ');
      expect(shown).toContain('with 503. It is sealed or down for maintenance');
      expect(shown).toContain('unseal it with vault operator unseal');
    }
    await expect(NbdConnection.open(cairn.address(), 'db')).rejects.toThrow();

    vault.isSealed = false;
    for (const name of ['db', 'other'] as const) {
      await eventually(`${name} is attached`, async () => (await cairn.volume(name)).state === 'attached');
      expect(await holds(cairn, name, data[name])).toBe(true);
    }
    const kinds = (await cairn.events('db')).map(({ kind }) => kind);
    expect(kinds.indexOf('volume-recovered')).toBeGreaterThan(kinds.indexOf('volume-faulted'));
  });

  it('goes on while Vault is away, and logs in again when its token has expired meanwhile', async () => {
    const { vault, cairn } = await cairnWithVault();
    await create(cairn, 'db', 'vault', '--key', 'team/db');
    await cairn.attach('db');
    const data = randomBytes(4096);
    vault.isSealed = true;
    await write(cairn, 'db', data);
    vault.isSealed = false;
    vault.revokeAll();
    await cairn.detach('db');
    await cairn.attach('db');
    expect(await holds(cairn, 'db', data)).toBe(true);
    expect(vault.requests.filter(({ path }) => path.endsWith('/login'))).toHaveLength(2);
  });

  it('is not made without its secret, and says how to make one', async () => {
    const { cairn } = await cairnWithVault();
    const { exitCode, stderr } = await create(cairn, 'none', 'vault');
    expect(exitCode).toBe(1);
    expect(stderr.replaceAll(/\s+/g, ' ')).toContain('vault kv put -mount=secret cairn/none passphrase=-');
    expect((await cli(cairn, 'volume', 'list', '-o', 'json')).stdout).toContain('"volumes": []');
  });

  it('has a path as its key nowhere else', async () => {
    const { cairn } = await cairnWithVault();
    const { exitCode, stderr } = await create(cairn, 'db', 'file', '--key', 'team/db');
    expect(exitCode).toBe(1);
    expect(stderr).toContain('only those of vault are paths');
  });

  it('shows neither passphrase nor token nor secret ID anywhere', async () => {
    const { vault, cairn } = await cairnWithVault();
    await create(cairn, 'db', 'vault', '--key', 'team/db');
    await create(cairn, 'other', 'vault-transit', '--key', 'sealed');
    await cairn.attach('db');
    await cairn.attach('other');
    const told = [...(await everythingTold(cairn)), ...filesBeneath(cairn.pool).map(textOf)];

    // Failures tell more: a login that Vault refuses and quotes, a token that it refuses, an answer that is cut off.
    await cairn.detach('db');
    vault.revokeAll();
    vault.newSecretId('another');
    const refused = await cli(cairn, 'volume', 'attach', 'db');
    expect(refused.stderr.replaceAll(/\s+/g, ' ')).toContain('put a new secret ID into');
    vault.newSecretId(canaries.secretId);
    vault.nextAnswers.push({ status: 200, body: { auth: { client_token: 'hvs.given', lease_duration: 60 } } });
    vault.nextAnswers.push({ status: 200, body: `{"data": {"data": {"passphrase": "${canaries.passphrase}` });
    const unread = await cli(cairn, 'volume', 'attach', 'db');
    expect(unread.stderr.replaceAll(/\s+/g, ' ')).toContain('has no field passphrase');
    told.push(refused.stderr, unread.stderr, ...(await everythingTold(cairn)));

    const tokens = vault.requests.flatMap(({ token }) => token ?? []);
    expect(tokens.length).toBeGreaterThan(0);
    const secrets = [...Object.values(canaries), ...tokens];
    expect(told.filter((text) => secrets.some((secret) => text.includes(secret)))).toEqual([]);
    expect(told.filter((text) => text === '')).toEqual([]);
  });
});

/** Logs, events, metrics, REST's answers, and what the kernel shows of the processes. */
async function everythingTold(cairn: RealCairn): Promise<string[]> {
  const pages = [
    '/v1/volumes',
    '/v1/volumes/db',
    '/v1/events',
    '/v1/node',
    '/v1/volumes/db/snapshots',
    '/metrics',
    '/readyz',
  ];
  const answers = await Promise.all(pages.map((page) => cairn.rest.send('GET', page)));
  expect(answers.map(({ status }) => status)).toEqual(pages.map(() => 200));
  const shown = await cli(cairn, 'volume', 'show', 'db');
  const pids = [cairn.servePid, ...cairn.dataPlanePids()];
  const kernel = pids.flatMap((pid) => ['cmdline', 'environ'].map((file) => textOf(`/proc/${pid}/${file}`)));
  return [cairn.logs(100_000), shown.stdout, ...answers.map((answer) => JSON.stringify(answer)), ...kernel];
}

function filesBeneath(directory: string): string[] {
  const entries = readdirSync(directory, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}

function textOf(file: string): string {
  return readFileSync(file, 'latin1');
}
