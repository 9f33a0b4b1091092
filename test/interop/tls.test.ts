/** NBD over TLS with the clients that people have: libnbd and qemu, by certificates and by pre-shared keys. */
import { execFile } from 'node:child_process';
import { chmodSync, copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished, type TestContext } from 'vitest';
import { CertificateAuthority } from '../support/certificates.js';
import { NbdConnection } from '../support/nbd-connection.js';
import { cli } from '../support/real-cli.js';
import type { RealCairn } from '../support/real-cairn.js';
import { eventually } from '../support/real-deadline.js';
import { freshCairn } from '../support/real-fixture.js';
import { needsTools, run } from '../support/real-tools.js';

const size = 64 * 2 ** 20;

function scratch(): string {
  const directory = mkdtempSync(join(tmpdir(), 'cairn-tls-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** Certificates of a new CA for both sides. */
function certificates(context: TestContext): string {
  needsTools(context, 'openssl', 'nbdinfo');
  const directory = scratch();
  const authority = new CertificateAuthority(directory);
  authority.sign('server');
  authority.sign('client');
  return directory;
}

const settings = (mode: string, directory: string, more: Record<string, string> = {}) => ({
  environment: { CAIRN_NBD_TLS_MODE: mode, CAIRN_NBD_TLS_CERTIFICATES: directory, ...more },
});

/** What nbdinfo says of the size when it uses these certificates. */
async function sizeOverTls(cairn: RealCairn, volume: string, directory: string): Promise<string> {
  const { port } = new URL(cairn.uri(volume));
  return (await run('nbdinfo', ['--size', `nbds://localhost:${port}/${volume}?tls-certificates=${directory}`])).trim();
}

describe.each(['node', 'volume'] as const)('isolation %s', (isolation) => {
  it('mode require serves clients that verify the server, and no others', async (context) => {
    const directory = certificates(context);
    const cairn = await freshCairn({ isolation, ...settings('require', directory) });
    const { uris } = await cairn.serveVolume('db', { size });
    expect(uris).toEqual([
      expect.stringMatching(/^nbds:\/\/127\.0\.0\.1:\d+\/db$/),
      expect.stringMatching(/^nbds\+unix:/),
    ]);
    expect(await sizeOverTls(cairn, 'db', directory)).toBe(String(size));
    await cairn.createSnapshot('db', 'one');
    expect(await sizeOverTls(cairn, 'db@one', directory)).toBe(String(size));
    await expect(NbdConnection.open(cairn.address(), 'db')).rejects.toThrow(/option error/);
    await expect(run('nbdinfo', [cairn.uri('db')])).rejects.toThrow(/Command failed/);
  });

  it('mode on serves both kinds of clients', async (context) => {
    const directory = certificates(context);
    const cairn = await freshCairn({ isolation, ...settings('on', directory) });
    const { uris } = await cairn.serveVolume('db', { size });
    expect(uris[0]).toBe(cairn.uri('db'));
    expect(await sizeOverTls(cairn, 'db', directory)).toBe(String(size));
    const client = await NbdConnection.open(cairn.address(), 'db');
    await client.disconnect();
  });
});

it('qemu-img reads and writes over TLS', async (context) => {
  const directory = certificates(context);
  needsTools(context, 'qemu-img', 'qemu-io');
  const cairn = await freshCairn(settings('require', directory, { CAIRN_NBD_TLS_VERIFY_PEER: 'true' }));
  await cairn.serveVolume('db', { size });
  const { port } = new URL(cairn.uri('db'));
  const credentials = ['--object', `tls-creds-x509,id=tls,endpoint=client,dir=${directory}`];
  const image = `driver=nbd,host=localhost,port=${port},export=db,tls-creds=tls`;
  const command = ['-c', 'write -P 7 0 1M', '-c', 'flush', '-c', 'read -P 7 0 1M'];
  const output = await run('qemu-io', [...credentials, ...command, '--image-opts', image]);
  expect(output).not.toMatch(/failed/i);
  expect(await run('qemu-img', ['info', ...credentials, '--image-opts', image])).toContain('virtual size: 64 MiB');
});

it('with verifyPeer a client without a certificate of the CA is refused', async (context) => {
  const directory = certificates(context);
  const cairn = await freshCairn(settings('require', directory, { CAIRN_NBD_TLS_VERIFY_PEER: 'true' }));
  await cairn.serveVolume('db', { size });
  expect(await sizeOverTls(cairn, 'db', directory)).toBe(String(size));
  const nobody = scratch();
  copyFileSync(join(directory, 'ca-cert.pem'), join(nobody, 'ca-cert.pem'));
  await expect(sizeOverTls(cairn, 'db', nobody)).rejects.toThrow(/Command failed/);
});

it('pre-shared keys let their users in', async (context) => {
  needsTools(context, 'nbdinfo');
  const file = join(scratch(), 'keys.psk');
  writeFileSync(file, `alice:${'0123456789abcdef'.repeat(4)}\n`, { mode: 0o600 });
  const cairn = await freshCairn({ environment: { CAIRN_NBD_TLS_MODE: 'require', CAIRN_NBD_TLS_PSK_FILE: file } });
  await cairn.serveVolume('db', { size });
  const { port } = new URL(cairn.uri('db'));
  const uri = (user: string) => `nbds://${user}@localhost:${port}/db?tls-psk-file=${file}`;
  expect((await run('nbdinfo', ['--size', uri('alice')])).trim()).toBe(String(size));
  await expect(run('nbdinfo', ['--size', uri('mallory')])).rejects.toThrow(/Command failed/);
});

it('certificates are read anew when it is asked for, without dropping anybody', async (context) => {
  const directory = certificates(context);
  const cairn = await freshCairn(settings('on', directory));
  await cairn.serveVolume('db', { size });
  const connected = await NbdConnection.open(cairn.address(), 'db');
  const old = scratch();
  for (const file of ['ca-cert.pem', 'client-cert.pem', 'client-key.pem'])
    copyFileSync(join(directory, file), join(old, file));

  const renewed = new CertificateAuthority(directory);
  renewed.sign('server');
  renewed.sign('client');
  expect(await sizeOverTls(cairn, 'db', old)).toBe(String(size));
  expect(await cli(cairn, 'node', 'reload-tls')).toMatchObject({ exitCode: 0 });
  expect(await sizeOverTls(cairn, 'db', directory)).toBe(String(size));
  await expect(sizeOverTls(cairn, 'db', old)).rejects.toThrow(/Command failed/);

  chmodSync(join(directory, 'server-key.pem'), 0o644);
  const refused = await cli(cairn, 'node', 'reload-tls');
  expect([refused.exitCode, refused.stderr]).toEqual([
    1,
    expect.stringMatching(/server-key\.pem can be read by others/),
  ]);
  expect(await sizeOverTls(cairn, 'db', directory)).toBe(String(size));
  expect((await connected.read(0, 4096)).length).toBe(4096);
  await connected.disconnect();
});

it('SIGHUP reads them anew too, and the service goes on', async (context) => {
  const directory = certificates(context);
  const cairn = await freshCairn(settings('on', directory));
  await cairn.serveVolume('db', { size });
  const renewed = new CertificateAuthority(directory);
  renewed.sign('server');
  renewed.sign('client');
  process.kill(cairn.servePid, 'SIGHUP');
  await eventually(
    'the new certificate is served',
    () =>
    sizeOverTls(cairn, 'db', directory).then((text) => text === String(size), () => false), // prettier-ignore
  );
  expect(await cairn.volume('db')).toMatchObject({ state: 'attached' });
});

it.each([
  ['server-key.pem', (file: string) => rmSync(file), /server-key\.pem is missing/],
  ['server-cert.pem', (file: string) => writeFileSync(file, 'no certificate'), /server-cert\.pem is not a certificate/],
  ['server-key.pem', (file: string) => chmodSync(file, 0o644), /server-key\.pem can be read by others.*chmod 600/],
] as const)('a service whose %s cannot be used does not start, and says why', async (file, spoil, message) => {
  const directory = scratch();
  new CertificateAuthority(directory).sign('server');
  spoil(join(directory, file));
  const environment = { CAIRN_NBD_TLS_MODE: 'on', CAIRN_NBD_TLS_CERTIFICATES: directory };
  const { exitCode, stderr } = await serveOnce({ ...environment, CAIRN_DATA_DIRECTORY: scratch() });
  expect([exitCode, stderr]).toEqual([1, expect.stringMatching(message)]);
});

function serveOnce(environment: Record<string, string>): Promise<{ exitCode: number; stderr: string }> {
  const program = join(import.meta.dirname, '../../dist/cli/main.js');
  return new Promise((resolve) => {
    const env = { ...process.env, ...environment };
    execFile(process.execPath, [program, 'serve'], { env, timeout: 20_000 }, (error, _stdout, stderr) => {
      resolve({ exitCode: error === null ? 0 : Number(error.code), stderr });
    });
  });
}
