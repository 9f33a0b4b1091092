/** Encrypted volumes, from the command line to what the disk holds. */
import { randomBytes } from 'node:crypto';
import { chmodSync, mkdirSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { NbdConnection } from '../support/nbd-connection.js';
import { cli } from '../support/real-cli.js';
import { eventually } from '../support/real-deadline.js';
import { freshCairn } from '../support/real-fixture.js';
import type { RealCairn } from '../support/real-cairn.js';
import { needsTools, run } from '../support/real-tools.js';
import { scratchDirectory } from '../support/scratch.js';

const mebibyte = 2 ** 20;
const canary = 'canary-passphrase-51c0ffee';

class Keys {
  readonly directory = join(scratchDirectory(), 'keys');

  constructor() {
    mkdirSync(this.directory, { mode: 0o700 });
  }

  give(name: string, passphrase = canary): void {
    const file = join(this.directory, name);
    writeFileSync(file, `${passphrase}\n`);
    chmodSync(file, 0o600);
  }

  cairn(isolation: 'node' | 'volume' = 'node'): Promise<RealCairn> {
    return freshCairn({ isolation, environment: { CAIRN_KEYS_DIRECTORY: this.directory } });
  }
}

function filesBeneath(directory: string): string[] {
  const entries = readdirSync(directory, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}

/** The head's data: with no snapshot the only one, which is an image of the whole replica. */
function imageOf(cairn: RealCairn): string {
  const images = filesBeneath(cairn.pool).filter((file) => file.endsWith('.data'));
  expect(images).toHaveLength(1);
  return images[0] ?? '';
}

async function written(cairn: RealCairn, name: string, data: Buffer): Promise<void> {
  const client = await NbdConnection.open(cairn.address(), name);
  await client.write(0, data);
  await client.flush();
  await client.disconnect();
}

async function readBack(cairn: RealCairn, name: string, bytes: number): Promise<Buffer> {
  const client = await NbdConnection.open(cairn.address(), name);
  const data = await client.read(0, bytes);
  expect(client.sizeBytes).toBe(64 * mebibyte);
  await client.disconnect();
  return data;
}

describe.each(['node', 'volume'] as const)('isolation %s', (isolation) => {
  it('what clients write is ciphertext on the disk, and there again after every restart', async () => {
    const keys = new Keys();
    const cairn = await keys.cairn(isolation);
    keys.give('db');
    expect(await cli(cairn, 'volume', 'create', 'db', '--size', '64MiB', '--encrypt')).toMatchObject({ exitCode: 0 });
    await cairn.attach('db');
    const data = randomBytes(mebibyte);
    await written(cairn, 'db', data);
    expect((await readBack(cairn, 'db', mebibyte)).equals(data)).toBe(true);
    expect(readFileSync(imageOf(cairn)).indexOf(data.subarray(0, 64))).toBe(-1);

    process.kill(await cairn.holderOf('db'), 'SIGKILL');
    await eventually('it is served again', () =>
      readBack(cairn, 'db', mebibyte).then(
        (read) => read.equals(data),
        () => false,
      ),
    );
    const holder = await cairn.holderOf('db');
    const client = await NbdConnection.open(cairn.address(), 'db');
    await cairn.stopServe();
    rmSync(join(keys.directory, 'db'));
    await cairn.startServe();
    await eventually('it is taken over', async () => (await cairn.volume('db')).state === 'attached');
    expect((await client.read(0, mebibyte)).equals(data)).toBe(true);
    await client.disconnect();
    expect(await cairn.holderOf('db')).toBe(holder);

    await cairn.stop();
    await cairn.startServe();
    await eventually('it waits for its key', async () => (await cairn.volume('db')).state === 'faulted');
    await expect(readBack(cairn, 'db', mebibyte)).rejects.toThrow();
    keys.give('db');
    await eventually('it is attached again', () =>
      readBack(cairn, 'db', mebibyte).then(
        (read) => read.equals(data),
        () => false,
      ),
    );
  });
});

describe('an encrypted volume', () => {
  it('opens with stock cryptsetup, as a copy of its file', async (context) => {
    needsTools(context, 'cryptsetup');
    const keys = new Keys();
    const cairn = await keys.cairn();
    keys.give('db');
    await cairn.serveVolume('db', { size: 64 * mebibyte, encryption: {} });
    await cairn.detach('db');
    const image = imageOf(cairn);
    const secret = join(scratchDirectory(), 'key');
    writeFileSync(secret, canary);
    await run('cryptsetup', ['open', '--test-passphrase', '--key-file', secret, image]);
    expect(await run('cryptsetup', ['luksDump', image])).toContain('aes-xts-plain64');
  });

  it('grows, has snapshots and clones', async () => {
    const keys = new Keys();
    const cairn = await keys.cairn();
    keys.give('shared');
    await cairn.serveVolume('db', { size: 32 * mebibyte, encryption: { key: 'shared' } });
    const data = randomBytes(mebibyte);
    await written(cairn, 'db', data);
    await cairn.createSnapshot('db', 'one');
    await cli(cairn, 'volume', 'resize', 'db', '--size', '64MiB');
    await written(cairn, 'db', randomBytes(mebibyte));
    await cairn.serveClone('copy', 'db', 'one', { size: 64 * mebibyte });
    expect((await readBack(cairn, 'copy', mebibyte)).equals(data)).toBe(true);
    await cairn.revert('db', 'one');
    expect((await readBack(cairn, 'db', mebibyte)).equals(data)).toBe(true);
    expect((await cli(cairn, 'volume', 'show', 'copy')).stdout).toMatch(/Encryption: +LUKS2, key shared of file/);
  });

  it('is not made without its key, and says how to make one', async () => {
    const cairn = await new Keys().cairn();
    const { exitCode, stderr } = await cli(cairn, 'volume', 'create', 'db', '--size', '64MiB', '--encrypt');
    expect(exitCode).toBe(1);
    expect(stderr).toMatch(/There is no key file .*For a new one: \(umask 077/);
    expect((await cli(cairn, 'volume', 'list', '-o', 'json')).stdout).toContain('"volumes": []');
  });

  it('with another passphrase than its own is refused, and attached when the right one is there', async () => {
    const keys = new Keys();
    const cairn = await keys.cairn();
    keys.give('db');
    await cairn.createVolume('db', { size: 64 * mebibyte, encryption: {} });
    keys.give('db', 'another');
    expect(await cli(cairn, 'volume', 'attach', 'db')).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining('no key slot opens with this passphrase') as string,
    });
    keys.give('db');
    await eventually('it is attached', () =>
      cairn.attach('db').then(
        () => true,
        () => false,
      ),
    );
  });

  it('is served as it is on the disk, without its key, and takes an image that cryptsetup has made', async (context) => {
    needsTools(context, 'cryptsetup', 'nbdcopy');
    const keys = new Keys();
    const cairn = await keys.cairn();
    const plain = randomBytes(48 * mebibyte);
    const image = join(scratchDirectory(), 'image');
    const secret = join(scratchDirectory(), 'secret');
    writeFileSync(secret, canary);
    writeFileSync(image, plain);
    truncateSync(image, plain.length + 32 * mebibyte);
    const shape = ['--reduce-device-size', '32M', '--pbkdf', 'pbkdf2', '--pbkdf-force-iterations', '1000'];
    const encrypt = ['reencrypt', '--batch-mode', '--encrypt', '--type', 'luks2', '--force-offline-reencrypt'];
    await run('cryptsetup', [...encrypt, ...shape, '--key-file', secret, image]);

    keys.give('imported', 'of the empty volume');
    await cairn.createVolume('imported', { size: 64 * mebibyte, encryption: {} });
    rmSync(join(keys.directory, 'imported'));
    const raw = await cli(cairn, 'volume', 'attach', 'imported', '--raw');
    await run('nbdcopy', ['--flush', image, raw.stdout.trim()]);
    await cairn.detach('imported');
    const copy = join(scratchDirectory(), 'copy');
    const again = await cli(cairn, 'volume', 'attach', 'imported', '--raw', '--read-only');
    await run('nbdcopy', [again.stdout.trim(), copy]);
    await expect(run('nbdcopy', [image, again.stdout.trim()])).rejects.toThrow();
    expect(readFileSync(copy).equals(readFileSync(image))).toBe(true);
    expect((await cli(cairn, 'volume', 'show', 'imported')).stdout).toMatch(/Frontend: +nbd, raw, read-only/);
    await cairn.detach('imported');

    keys.give('imported');
    await cairn.attach('imported');
    const client = await NbdConnection.open(cairn.address(), 'imported');
    expect((await client.read(0, 1024 * 1024)).equals(plain.subarray(0, mebibyte))).toBe(true);
    await client.disconnect();
  });

  it('is open for maintenance without its key', async () => {
    const keys = new Keys();
    const cairn = await keys.cairn();
    keys.give('db');
    await cairn.createVolume('db', { size: 64 * mebibyte, encryption: {} });
    rmSync(join(keys.directory, 'db'));
    await cairn.attach('db', 'none');
    await cairn.createSnapshot('db', 'one');
    await cairn.rest.call('POST', '/v1/volumes/db/snapshots/one/revert');
    expect(await cairn.volume('db')).toMatchObject({ state: 'attached', frontend: 'none', snapshotCount: 1 });
  });

  it('shows its passphrase nowhere', async () => {
    const keys = new Keys();
    const cairn = await keys.cairn();
    keys.give('db');
    await cairn.serveVolume('db', { size: 64 * mebibyte, encryption: {} });
    keys.give('db', `${canary} wrong`);
    await cairn.detach('db');
    await cli(cairn, 'volume', 'attach', 'db');
    const told = [
      cairn.logs(10_000),
      (await cli(cairn, 'volume', 'show', 'db', '-o', 'json')).stdout,
      JSON.stringify(await cairn.events('db')),
      String((await cairn.rest.send('GET', '/metrics')).body),
      JSON.stringify(await cairn.rest.call('GET', '/v1/volumes/db/keys')),
    ];
    for (const pid of [cairn.servePid, ...cairn.dataPlanePids()])
      for (const file of ['cmdline', 'environ']) told.push(readFileSync(`/proc/${pid}/${file}`, 'latin1'));
    for (const file of filesBeneath(cairn.pool)) told.push(readFileSync(file, 'latin1'));
    expect(told.filter((text) => text.includes(canary))).toEqual([]);
  });
});

describe('keys', () => {
  it('are rotated under a client, and after the service and the data plane have died in the middle', async () => {
    const keys = new Keys();
    const cairn = await keys.cairn();
    keys.give('db');
    await cairn.serveVolume('db', { size: 64 * mebibyte, encryption: {} });
    const data = randomBytes(mebibyte);
    const client = await NbdConnection.open(cairn.address(), 'db');
    for (const [round, dies] of [undefined, 'service', 'data plane'].entries()) {
      const next = `db-${round}`;
      keys.give(next, `${canary} ${round}`);
      const rotating = cairn.rest.call('POST', '/v1/volumes/db/keys/rotate', { key: next }).catch(() => undefined);
      for (let i = 0; i < 20; i++) await client.write(0, data);
      await client.flush();
      if (dies === 'service') await cairn.killServe();
      if (dies === 'data plane') process.kill(await cairn.holderOf('db'), 'SIGKILL');
      await rotating;
      if (dies === 'service') await cairn.startServe();
      await eventually('it is as it should be', async () => (await cairn.volume('db')).state === 'attached');
      await eventually('it has its new key', () =>
        cli(cairn, 'key', 'rotate', 'db', '--key', next).then(({ exitCode }) => exitCode === 0),
      );
      expect((await cairn.volume('db')).encryption?.key).toBe(next);
      expect((await cli(cairn, 'key', 'list', 'db')).stdout.match(/argon2id/g)).toHaveLength(1);
    }
    expect((await readBack(cairn, 'db', mebibyte)).equals(data)).toBe(true);
    for (const old of ['db', 'db-0', 'db-1']) rmSync(join(keys.directory, old));
    await cairn.stop();
    await cairn.startServe();
    await eventually('it is attached with its new key', () =>
      readBack(cairn, 'db', mebibyte).then(
        (read) => read.equals(data),
        () => false,
      ),
    );
  });

  it('are guessed slowly', async () => {
    const keys = new Keys();
    const cairn = await keys.cairn();
    keys.give('db');
    await cairn.createVolume('db', { size: 64 * mebibyte, encryption: {} });
    keys.give('db', 'a guess');
    const attach = () => cli(cairn, 'volume', 'attach', 'db', '-o', 'json');
    expect((await attach()).stderr).toContain('no key slot opens with this passphrase');
    keys.give('db');
    expect((await attach()).stderr).toContain('try again in');
    await eventually('the wait is over', async () => (await attach()).exitCode === 0);
  });

  it('come back with a backup of the header when both of its copies are damaged', async (context) => {
    needsTools(context, 'nbdcopy');
    const keys = new Keys();
    const cairn = await keys.cairn();
    keys.give('db');
    await cairn.serveVolume('db', { size: 64 * mebibyte, encryption: {} });
    const data = randomBytes(mebibyte);
    await written(cairn, 'db', data);
    const backup = join(scratchDirectory(), 'db.luks2');
    expect((await cli(cairn, 'header', 'backup', 'db', backup)).stdout).toContain(`is in ${backup}.`);
    await cairn.detach('db');
    await cairn.rest.call('POST', '/v1/volumes/db/attach', { raw: true });
    const client = await NbdConnection.open(cairn.address(), 'db');
    await client.write(0, randomBytes(mebibyte));
    await client.disconnect();
    await cairn.detach('db');
    const refused = await cli(cairn, 'volume', 'attach', 'db');
    expect(refused).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('cairn header restore') as string });
    expect((await cli(cairn, 'header', 'restore', 'db', backup, '--yes')).exitCode).toBe(0);
    await cairn.attach('db');
    expect((await readBack(cairn, 'db', mebibyte)).equals(data)).toBe(true);
  });
});

describe('a new volume key', () => {
  it('comes to a volume in use, whatever dies meanwhile, and older snapshots stay readable', async () => {
    const keys = new Keys();
    const cairn = await keys.cairn('volume');
    keys.give('db');
    await cairn.serveVolume('db', { size: 64 * mebibyte, encryption: {} });
    const data = randomBytes(30 * mebibyte);
    await written(cairn, 'db', data);
    await cairn.createSnapshot('db', 'old');
    const isWhole = async (name: string) => (await readBack(cairn, name, data.length)).equals(data);
    await cairn.rest.call('POST', '/v1/volumes/db/reencrypt');
    process.kill(await cairn.holderOf('db'), 'SIGKILL');
    await eventually('it is served again', () => isWhole('db').catch(() => false));
    await cairn.stopServe();
    await cairn.startServe();
    const done = await cli(cairn, 'volume', 'reencrypt', 'db', '--wait');
    expect(done.stdout).toContain('Volume db is encrypted with its new volume key.');
    expect(await isWhole('db')).toBe(true);
    expect(await isWhole('db@old')).toBe(true);
    await cairn.createSnapshot('db', 'new');
    await cairn.detach('db');
    await cairn.attach('db');
    for (const name of ['db', 'db@old', 'db@new']) expect(await isWhole(name)).toBe(true);
    await cairn.revert('db', 'old');
    expect(await isWhole('db')).toBe(true);
  });

  it('comes to a detached volume too', async () => {
    const keys = new Keys();
    const cairn = await keys.cairn();
    keys.give('db');
    await cairn.serveVolume('db', { size: 64 * mebibyte, encryption: {} });
    const data = randomBytes(8 * mebibyte);
    await written(cairn, 'db', data);
    await cairn.detach('db');
    const header = readFileSync(imageOf(cairn)).subarray(0, 16_384);
    expect((await cli(cairn, 'volume', 'reencrypt', 'db', '--wait')).exitCode).toBe(0);
    await eventually('its older key is gone', async () => {
      const images = filesBeneath(cairn.pool).filter((file) => file.endsWith('.data'));
      return images.length === 1 && (await cairn.volume('db')).state === 'detached';
    });
    expect(readFileSync(imageOf(cairn)).subarray(0, 16_384).equals(header)).toBe(false);
    await cairn.attach('db');
    expect((await readBack(cairn, 'db', data.length)).equals(data)).toBe(true);
  });
});
