/** How requests to Vault arrive, and where they never go: TLS, redirections, time limits. */
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { VaultClient } from '../../src/keys/vault/client.js';
import { vaultTimesDefault, type VaultTimes } from '../../src/keys/vault/connection.js';
import { noAnswer } from '../../src/keys/vault/no-answer.js';
import { VaultKvKeys } from '../../src/keys/vault/kv-keys.js';
import type { VaultSettings } from '../../src/keys/vault/settings.js';
import { CertificateAuthority } from '../support/certificates.js';
import { keyRefusal } from '../support/key-refusal.js';
import { scratchDirectory } from '../support/scratch.js';
import {
  byAppRole,
  changed,
  freshVault,
  privateFile,
  quickTimes,
  vaultSettings,
  vaultToken,
} from '../support/vault-fixture.js';
import type { VaultStubOptions } from '../support/vault-stub.js';

const canary = 'canary-passphrase-77e0';
const hangs = () => {};

const keysOf = (settings: VaultSettings, times: VaultTimes = quickTimes) =>
  new VaultKvKeys(new VaultClient(settings, { times }), settings.kv);
const refusal = (given: Promise<unknown>) => keyRefusal(given, canary, vaultToken);

function authority(): CertificateAuthority {
  const made = new CertificateAuthority(scratchDirectory());
  made.sign('server');
  return made;
}

async function vaultWithKey(options?: VaultStubOptions) {
  const fixture = await freshVault(options);
  fixture.vault.put('cairn/db', { passphrase: canary });
  return fixture;
}

/** Settings for a server that is not Vault. */
async function settingsFor(server: Server, scheme: 'http' | 'https' = 'http'): Promise<VaultSettings> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  return vaultSettings(`${scheme}://127.0.0.1:${(server.address() as AddressInfo).port}`, scratchDirectory());
}

describe('TLS', () => {
  it('is trusted by the authority that is configured', async () => {
    const { directory } = authority();
    const { settings } = await vaultWithKey({ certificates: directory });
    const trusting = changed(settings, { caFile: join(directory, 'ca-cert.pem') });
    expect(Buffer.from(await keysOf(trusting).passphraseOf('db')).toString()).toBe(canary);
  });

  it('is not trusted without it, nor by another one, and nothing is sent', async () => {
    const { vault, settings } = await vaultWithKey({ certificates: authority().directory });
    const other = changed(settings, { caFile: join(authority().directory, 'ca-cert.pem') });
    for (const each of [settings, other])
      expect(await refusal(keysOf(each).passphraseOf('db'))).toMatch(
        /is not trusted \([A-Z_]+: .*Check its certificate, and that keys\.vault\.caFile/,
      );
    expect(vault.requests).toEqual([]);
  });

  it('is not trusted for another name than the certificate has', async () => {
    const { directory } = authority();
    const { vault, settings } = await vaultWithKey({ certificates: directory, host: '127.0.0.2' });
    const trusting = changed(settings, { caFile: join(directory, 'ca-cert.pem') });
    expect(await refusal(keysOf(trusting).passphraseOf('db'))).toContain(
      'is not trusted (ERR_TLS_CERT_ALTNAME_INVALID',
    );
    expect(vault.requests).toEqual([]);
  });

  it('is not given up when the other side speaks without it', async () => {
    const { vault, settings } = await vaultWithKey();
    const secured = changed(settings, { address: vault.address.replace('http:', 'https:') });
    expect(await refusal(keysOf(secured).passphraseOf('db'))).toContain('is not trusted');
    expect(vault.requests).toEqual([]);
  });

  it.each(['', 'no certificate'])('is not trusted when the file of authorities holds %j', async (content) => {
    const { vault, settings } = await vaultWithKey({ certificates: authority().directory });
    const caFile = privateFile(join(scratchDirectory(), 'ca.pem'), content);
    expect(await refusal(keysOf(changed(settings, { caFile })).passphraseOf('db'))).toMatch(
      /is not trusted \([A-Z_]+: /,
    );
    expect(vault.requests).toEqual([]);
  });

  it('needs its file of authorities', async () => {
    const { settings } = await vaultWithKey();
    const asked = keysOf(changed(settings, { caFile: '/nowhere/ca.pem' })).passphraseOf('db');
    expect(await refusal(asked)).toContain('/nowhere/ca.pem, cannot be read (ENOENT)');
  });
});

describe('a standby', () => {
  it('sends on to the active node, with the token', async () => {
    const active = await vaultWithKey();
    const standby = await freshVault();
    standby.vault.activeAddress = active.vault.address;
    expect(Buffer.from(await keysOf(standby.settings).passphraseOf('db')).toString()).toBe(canary);
    expect(active.vault.requests).toMatchObject([{ path: '/v1/secret/data/cairn/db', token: vaultToken }]);
  });

  it('sends a login on too', async () => {
    const active = await vaultWithKey();
    const standby = await freshVault();
    standby.vault.activeAddress = active.vault.address;
    const secretId = active.vault.newSecretId();
    await keysOf(byAppRole(standby, secretId)).passphraseOf('db');
    expect(active.vault.requests.map(({ method }) => method)).toEqual(['POST', 'GET']);
  });

  it('does not send on twice', async () => {
    const active = await vaultWithKey();
    const [first, second] = [await freshVault(), await freshVault()];
    first.vault.activeAddress = second.vault.address;
    second.vault.activeAddress = active.vault.address;
    expect(await refusal(keysOf(first.settings).passphraseOf('db'))).toContain('with 307');
    expect(active.vault.requests).toEqual([]);
  });

  it('may name an active node that is down, which is told', async () => {
    const [active, standby] = [await vaultWithKey(), await freshVault()];
    standby.vault.activeAddress = active.vault.address;
    await active.vault.close();
    expect(await refusal(keysOf(standby.settings).passphraseOf('db'))).toContain(
      `Vault at ${standby.vault.activeAddress} cannot be reached`,
    );
  });

  it.each([
    ['out of TLS', (other: string) => `${other}/v1/secret/data/cairn/db`, true],
    ['out of this host without TLS', () => 'http://vault.invalid:8200/v1/secret/data/cairn/db', false],
    ['to another path', (other: string) => `${other}/v1/sys/wrapping/unwrap`, false],
    ['to the same path with a query', (other: string) => `${other}/v1/secret/data/cairn/db?help=1`, false],
    ['as another user', (other: string) => `${other.replace('//', '//me:me@')}/v1/secret/data/cairn/db`, false],
    ['to another protocol', () => 'ftp://127.0.0.1/v1/secret/data/cairn/db', false],
    ['nowhere', () => '', false],
    ['to what is no address', () => 'http://[', false],
  ])('is not followed %s', async (_what, location, isSecured) => {
    const certificates = isSecured ? authority().directory : undefined;
    const standby = await vaultWithKey(certificates === undefined ? {} : { certificates });
    const other = await vaultWithKey();
    standby.vault.nextAnswers.push({ status: 307, headers: { location: location(other.vault.address) } });
    const caFile = certificates === undefined ? '' : join(certificates, 'ca-cert.pem');
    const asked = keysOf(changed(standby.settings, { caFile })).passphraseOf('db');
    expect(await refusal(asked)).toContain('does not send its token to');
    expect(other.vault.requests).toEqual([]);
  });
});

describe('a Vault that does not answer', () => {
  it('is waited for as long as one request may take, and asked again', async () => {
    const { vault, settings } = await vaultWithKey();
    vault.nextAnswers.push(hangs);
    const passphrase = await keysOf(settings, { ...quickTimes, attemptMs: 300 }).passphraseOf('db');
    expect(Buffer.from(passphrase).toString()).toBe(canary);
    expect(vault.requests.length).toBeGreaterThan(1);
  });

  it('is given up when the time for everything is over', async () => {
    const { vault, settings } = await vaultWithKey();
    vault.nextAnswers.push(hangs);
    const asked = keysOf(settings, { ...quickTimes, totalMs: 300 }).passphraseOf('db');
    expect(await refusal(asked)).toMatch(/does not answer in time\. Check that it runs/);
  });

  it('and wants to be left alone for longer than there is time is told with its own words', async () => {
    const { vault, settings } = await vaultWithKey();
    vault.nextAnswers.push({ status: 503, headers: { 'retry-after': '3600' }, body: { errors: ['busy'] } });
    const asked = keysOf(settings, { ...quickTimes, totalMs: 1500, retryMaxMs: 60_000 }).passphraseOf('db');
    expect(await refusal(asked)).toContain('with 503 (busy)');
    expect(vault.requests).toHaveLength(1);
  });

  it('may stop in the middle of an answer', async () => {
    const { vault, settings } = await vaultWithKey();
    vault.nextAnswers.push((response) => {
      response.writeHead(200, { 'content-length': '1000' });
      response.write(`{"data": {"data": {"passphrase": "${canary}`, () => response.destroy());
    });
    expect(Buffer.from(await keysOf(settings).passphraseOf('db')).toString()).toBe(canary);
  });

  it('is told from a defect of Cairn, which is not hidden', () => {
    const defect = new TypeError('x is not a function');
    expect(() => noAnswer(defect, 'https://vault.example')).toThrow(defect);
  });

  it('is told in one short line, whatever the libraries say', () => {
    const said = Object.assign(new Error(`a\n\u001B[2J${'x'.repeat(1000)}`), { code: 'EPROTO' });
    const { detail } = noAnswer(said, 'https://vault.example').error;
    expect(detail).toMatch(/^Vault at https:\/\/vault\.example is not trusted \(EPROTO: a \[2Jx{290,}\)/);
    expect(detail.length).toBeLessThan(500);
  });

  it('may be down', async () => {
    const { vault, settings } = await vaultWithKey();
    await vault.close();
    expect(await refusal(keysOf(settings).passphraseOf('db'))).toMatch(
      /cannot be reached \(ECONNREFUSED\)\. Check that it runs/,
    );
  });

  it('may be something else', async () => {
    const settings = await settingsFor(createServer((socket) => void socket.end(`${canary}\r\n\r\n`)));
    expect(await refusal(keysOf(settings).passphraseOf('db'))).toMatch(/cannot be reached \(HPE_/);
  });

  it('holds nobody up longer than a minute by default', () => {
    expect(vaultTimesDefault.totalMs).toBeLessThan(60_000);
    expect(vaultTimesDefault.attemptMs).toBeLessThan(vaultTimesDefault.totalMs);
  });
});

describe('requests', () => {
  it('tell a proxy of Vault that they are meant for it', async () => {
    const { vault, settings } = await vaultWithKey();
    let header: unknown;
    vault.onRequest = ({ headers }) => (header = headers['x-vault-request']);
    await keysOf(settings).passphraseOf('db');
    expect(header).toBe('true');
  });

  it('go below the path that the address has', async () => {
    const { vault, settings } = await vaultWithKey();
    const proxied = changed(settings, { address: `${settings.address}/vault/` });
    await refusal(keysOf(proxied).passphraseOf('db'));
    expect(vault.requests[0]?.path).toBe('/vault/v1/secret/data/cairn/db');
  });

  it('of many volumes wait for one of a few connections', async () => {
    const { vault, settings } = await vaultWithKey();
    const held: ServerResponse[] = [];
    const eight = new Promise<void>((resolve) => {
      vault.nextAnswers.push(
        ...Array.from({ length: 8 }, () => (each: ServerResponse) => {
          if (held.push(each) === 8) resolve();
        }),
      );
    });
    const keys = keysOf(settings);
    const given = Array.from({ length: 20 }, () => keys.passphraseOf('db'));
    await eight;
    await keysOf(settings).passphraseOf('db'); // through connections of its own, after all that were not waiting
    expect(vault.requests).toHaveLength(9);
    for (const each of held) each.destroy();
    expect(await Promise.all(given)).toHaveLength(20);
  });

  it('leave nothing of an answer behind in the buffers that it came in', async () => {
    const { settings } = await vaultWithKey();
    const concatenated = vi.spyOn(Buffer, 'concat');
    onTestFinished(() => concatenated.mockRestore());
    await keysOf(settings).passphraseOf('db');
    const buffers = [
      ...concatenated.mock.calls.flatMap(([chunks]) => chunks),
      ...concatenated.mock.results.map(({ value }) => value as Buffer),
    ];
    const left = buffers.filter((buffer) => Buffer.from(buffer).includes(canary));
    expect(concatenated).toHaveBeenCalled();
    expect(left).toEqual([]);
  });
});
