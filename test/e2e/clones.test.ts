/** Clones share what they did not write, and nothing that either side does is seen by the other. */
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { NbdConnection } from '../support/nbd-connection.js';
import { cli } from '../support/real-cli.js';
import { eventually } from '../support/real-deadline.js';
import { freshCairn } from '../support/real-fixture.js';
import type { RealCairn } from '../support/real-cairn.js';

const mebibyte = 2 ** 20;
const size = 64 * mebibyte;

const filled = (byte: number, bytes = mebibyte) => Buffer.alloc(bytes, byte);

/** A volume `db` with 8 MiB of ones, snapshot `one` of that, and twos over the first MiB since. */
async function parent(cairn: RealCairn): Promise<void> {
  await cairn.serveVolume('db', { size });
  await write(cairn, 'db', 0, filled(1, 8 * mebibyte));
  await cairn.createSnapshot('db', 'one');
  await write(cairn, 'db', 0, filled(2));
}

async function write(cairn: RealCairn, volume: string, offset: number, data: Buffer): Promise<void> {
  const client = await NbdConnection.open(cairn.address(), volume);
  await client.write(offset, data);
  await client.flush();
  await client.disconnect();
}

/** The byte that each of the first MiBs is filled with. */
async function bytesOf(cairn: RealCairn, volume: string, count = 9): Promise<(number | string | undefined)[]> {
  const client = await NbdConnection.open(cairn.address(), volume);
  const pieces = await Promise.all(Array.from({ length: count }, (_, at) => client.read(at * mebibyte, mebibyte)));
  await client.disconnect();
  return pieces.map((piece) => (piece.every((byte) => byte === piece[0]) ? piece[0] : 'mixed'));
}

const ones = [1, 1, 1, 1, 1, 1, 1, 1, 0];

describe.each(['node', 'volume'] as const)('isolation %s', (isolation) => {
  it('a clone has the content of its snapshot; what is written there stays there', async () => {
    const cairn = await freshCairn({ isolation });
    await parent(cairn);
    const clone = await cairn.serveClone('copy', 'db', 'one');
    expect(clone).toMatchObject({ size, source: { volume: 'db', snapshot: 'one', linked: true } });
    expect(await bytesOf(cairn, 'copy')).toEqual(ones);
    await write(cairn, 'copy', 7 * mebibyte, filled(3));
    await write(cairn, 'db', mebibyte, filled(4));
    expect(await bytesOf(cairn, 'copy')).toEqual([1, 1, 1, 1, 1, 1, 1, 3, 0]);
    expect(await bytesOf(cairn, 'db')).toEqual([2, 4, 1, 1, 1, 1, 1, 1, 0]);
    await cairn.revert('db', 'one');
    expect(await bytesOf(cairn, 'db')).toEqual(ones);
  });

  it('a clone outlives its parent, flattened or not', async () => {
    const cairn = await freshCairn({ isolation });
    await parent(cairn);
    await cairn.serveClone('copy', 'db', 'one');
    await cairn.deleteVolume('db');
    await eventually('the parent is gone', async () => (await cairn.rest.send('GET', '/v1/volumes/db')).status === 404);
    expect(await bytesOf(cairn, 'copy')).toEqual(ones);
    await cairn.detach('copy');
    await cairn.attach('copy');
    expect(await bytesOf(cairn, 'copy')).toEqual(ones);
  });

  it.each([true, false])('a clone is flattened, attached: %s, and shares nothing then', async (isAttached) => {
    const cairn = await freshCairn({ isolation });
    await parent(cairn);
    const { id } = await cairn.serveClone('copy', 'db', 'one');
    if (!isAttached) await cairn.detach('copy');
    expect(sharedFiles(cairn, id)).not.toEqual([]);
    expect(await cli(cairn, 'volume', 'flatten', 'copy', '--wait')).toEqual({
      exitCode: 0,
      stdout: 'Volume copy is flattened.\n',
      stderr: '',
    });
    expect(sharedFiles(cairn, id)).toEqual([]);
    expect(await cairn.volume('copy')).toMatchObject({ flatten: null, source: { linked: false } });
    if (!isAttached) await cairn.attach('copy');
    expect(await bytesOf(cairn, 'copy')).toEqual(ones);
    expect((await cairn.events('copy')).map(({ kind }) => kind)).toContain('flatten-finished');
    expect(await bytesOf(cairn, 'db')).toEqual([2, 1, 1, 1, 1, 1, 1, 1, 0]);
  });

  it('a clone of a detached volume may be larger, and has clones itself', async () => {
    const cairn = await freshCairn({ isolation });
    await parent(cairn);
    await cairn.detach('db');
    await cairn.serveClone('copy', 'db', 'one', { size: 2 * size });
    await write(cairn, 'copy', 2 * size - mebibyte, filled(5));
    await cairn.createSnapshot('copy', 'two');
    await cairn.serveClone('third', 'copy', 'two');
    expect(await bytesOf(cairn, 'third')).toEqual(ones);
    const client = await NbdConnection.open(cairn.address(), 'third');
    expect(client.sizeBytes).toBe(2 * size);
    expect(await client.read(2 * size - mebibyte, mebibyte)).toEqual(filled(5));
    await client.disconnect();
  });

  it('the snapshot that was cloned can be deleted on either side', async () => {
    const cairn = await freshCairn({ isolation });
    await parent(cairn);
    await cairn.serveClone('copy', 'db', 'one');
    await cairn.deleteSnapshot('db', 'one');
    expect((await cairn.rest.send('GET', '/v1/volumes/db/snapshots/one')).status).toBe(404);
    expect(await bytesOf(cairn, 'copy')).toEqual(ones);
    await cairn.deleteVolume('copy');
    // Nobody tells a volume that another has let go of its files; it looks when it is opened, and now and then.
    await cairn.detach('db');
    await cairn.attach('db');
    await eventually('the deleted snapshot is merged', async () => (await cairn.snapshots('db')).length === 0, 30_000);
    expect(await bytesOf(cairn, 'db')).toEqual([2, 1, 1, 1, 1, 1, 1, 1, 0]);
  });
});

it('a clone and its flattening outlive kill -9 of everything', async () => {
  const cairn = await freshCairn();
  await parent(cairn);
  const { id } = await cairn.serveClone('copy', 'db', 'one');
  await write(cairn, 'copy', 7 * mebibyte, filled(3));
  await cairn.rest.call('POST', '/v1/volumes/copy/flatten');
  await cairn.killServe();
  for (const pid of cairn.dataPlanePids()) process.kill(pid, 'SIGKILL');
  await cairn.startServe();
  await eventually('it is flattened', async () => (await cairn.volume('copy')).source?.linked === false, 30_000);
  expect(sharedFiles(cairn, id)).toEqual([]);
  expect(await bytesOf(cairn, 'copy')).toEqual([1, 1, 1, 1, 1, 1, 1, 3, 0]);
});

it('what cannot be cloned is said before anything is made', async () => {
  const cairn = await freshCairn();
  await parent(cairn);
  const refused = await cli(cairn, 'volume', 'create', 'copy', '--from', 'db@two');
  expect([refused.exitCode, refused.stderr]).toEqual([1, expect.stringContaining('has no snapshot "two"')]);
  const small = await cli(cairn, 'volume', 'create', 'copy', '--from', 'db@one', '--size', '1MiB');
  expect([small.exitCode, small.stderr]).toEqual([
    1,
    expect.stringContaining('cannot be smaller than its snapshot db@'),
  ]);
  expect(readdirSync(join(cairn.pool, 'replicas'))).toHaveLength(1);
});

/** Files of the volume that another replica has too. */
function sharedFiles(cairn: RealCairn, volumeId: string): string[] {
  const replicas = join(cairn.pool, 'replicas', volumeId);
  const files = readdirSync(replicas, { recursive: true, encoding: 'utf8' }).map((file) => join(replicas, file));
  return files.filter((file) => statSync(file).isFile() && statSync(file).nlink > 1);
}
