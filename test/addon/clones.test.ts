/** cloneSnapshot and flattenVolume: replicas that share files, until they do not. */
import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { NbdConnection } from '../support/nbd-connection.js';
import { openNew, openServed, startPlane, type TestPlane } from '../support/native-plane.js';

const data = Buffer.alloc(256 * 1024, 'below');

/** The volume `volume` with a snapshot of `data`, and where a clone of that may go. */
async function withSnapshot(plane: TestPlane) {
  const { directory } = await openNew(plane, 'volume');
  await plane.native.closeVolume('volume');
  const { address } = await openServed(plane, { name: 'volume', directory });
  const client = await NbdConnection.open(address, 'volume');
  await client.write(0, data);
  await client.disconnect();
  const snapshotId = randomUUID();
  await plane.native.createSnapshot('volume', snapshotId, 'one');
  const clone = join(plane.directory, 'replicas', randomUUID());
  return { snapshotId, directory: clone, volumeId: randomUUID(), replicaId: randomUUID() };
}

async function contentOf(plane: TestPlane, name: string, directory: string): Promise<Buffer> {
  const { address } = await openServed(plane, { name, directory });
  const client = await NbdConnection.open(address, name);
  const content = await client.read(0, data.length);
  await client.disconnect();
  return content;
}

describe('cloneSnapshot', () => {
  it('makes a replica with the content of the snapshot, over the same files', async () => {
    const plane = startPlane();
    const target = await withSnapshot(plane);
    await plane.native.cloneSnapshot('volume', target);
    expect(await contentOf(plane, 'clone', target.directory)).toEqual(data);
    const info = await plane.native.volumeInfo('clone');
    expect(info).toMatchObject({ volumeId: target.volumeId, flatten: null });
    expect(info.layers.map(({ shared }) => shared)).toEqual([true, false]);
    expect((await plane.native.volumeInfo('volume')).layers.map(({ shared }) => shared)).toEqual([true, false]);
  });

  it('says what is in its way', async () => {
    const plane = startPlane();
    const target = await withSnapshot(plane);
    await plane.native.cloneSnapshot('volume', target);
    const refused = (changes: object) => plane.native.cloneSnapshot('volume', { ...target, ...changes });
    await expect(refused({})).rejects.toMatchObject({ code: 'REPLICA_EXISTS' });
    const elsewhere = join(plane.directory, 'replicas', randomUUID());
    const unknown = refused({ directory: elsewhere, snapshotId: randomUUID() });
    await expect(unknown).rejects.toMatchObject({ code: 'SNAPSHOT_MISSING' });
    expect(existsSync(elsewhere)).toBe(false);
    await expect(plane.native.cloneSnapshot('nobody', target)).rejects.toMatchObject({ code: 'VOLUME_NOT_OPEN' });
  });

  it('is refused in another file system', async (context) => {
    const plane = startPlane();
    const target = await withSnapshot(plane);
    const other = join('/dev/shm', `cairn-clone-${randomUUID()}`);
    if (!existsSync('/dev/shm')) context.skip('there is no /dev/shm, another file system for certain');
    const refused = plane.native.cloneSnapshot('volume', { ...target, directory: other });
    await expect(refused).rejects.toMatchObject({ code: 'CLONE_OTHER_FILE_SYSTEM' });
  });
});

describe('flattenVolume', () => {
  it('gives a clone files of its own, and says when it has', async () => {
    const plane = startPlane();
    const target = await withSnapshot(plane);
    await plane.native.cloneSnapshot('volume', target);
    expect(await contentOf(plane, 'clone', target.directory)).toEqual(data);
    await plane.native.flattenVolume('clone');
    await plane.event('flatten-finished', 'clone');
    const info = await plane.native.volumeInfo('clone');
    expect([info.flatten, info.layers.filter(({ shared }) => shared)]).toEqual([null, []]);
    expect((await plane.native.volumeInfo('volume')).layers.map(({ shared }) => shared)).toEqual([false, false]);
  });

  it('knows no volume that is not open', async () => {
    await expect(startPlane().native.flattenVolume('volume')).rejects.toMatchObject({ code: 'VOLUME_NOT_OPEN' });
  });
});
