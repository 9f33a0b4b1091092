/** Snapshots of a data plane's volumes and the merges that removing them starts. */
import { randomUUID } from 'node:crypto';
import { beforeEach, describe, expect, it } from 'vitest';
import {
  exportOf,
  openNew,
  openServed,
  serve,
  startPlane,
  whyNoAddon,
  type TestPlane,
} from '../support/native-plane.js';
import { NbdConnection } from '../support/nbd-connection.js';

const mebibyte = 1024 * 1024;

beforeEach((context) => {
  if (whyNoAddon !== null) context.skip(whyNoAddon);
});

/** Writes through a client of its own while the volume is exported for it. */
async function write(plane: TestPlane, volume: string, offset: number, data: Buffer): Promise<void> {
  const client = await NbdConnection.open(await serve(plane, volume), volume);
  for (let at = 0; at < data.length; at += mebibyte) await client.write(offset + at, data.subarray(at, at + mebibyte));
  await client.disconnect();
  await plane.native.removeExport(volume, true);
}

async function read(plane: TestPlane, volume: string, offset: number, bytes: number): Promise<Buffer> {
  const client = await NbdConnection.open(await serve(plane, volume), volume);
  const data = await client.read(offset, bytes);
  await client.disconnect();
  await plane.native.removeExport(volume, true);
  return data;
}

async function layerIds(plane: TestPlane, volume: string): Promise<string[]> {
  return (await plane.native.volumeInfo(volume)).layers.map(({ id }) => id);
}

describe('createSnapshot', () => {
  it('puts a layer beneath a new head', async () => {
    const plane = startPlane();
    await openNew(plane, 'volume');
    const id = randomUUID();
    await plane.native.createSnapshot('volume', id, id);
    const { layers } = await plane.native.volumeInfo('volume');
    expect(layers).toMatchObject([
      { id, parent: null, inChain: true, removed: false },
      { id: 'head-1', parent: id, inChain: true, removed: false },
    ]);
  });

  it.each([
    ['an id that is taken', 'SNAPSHOT_EXISTS', (taken: string) => taken],
    ['an id that is no UUID', 'INVALID_ARGUMENT', () => 'monday'],
  ])('refuses %s', async (_what, code, idFor) => {
    const plane = startPlane();
    await openNew(plane, 'volume');
    const taken = randomUUID();
    await plane.native.createSnapshot('volume', taken, taken);
    await expect(plane.native.createSnapshot('volume', idFor(taken), 'another')).rejects.toMatchObject({ code });
    expect(await layerIds(plane, 'volume')).toEqual([taken, 'head-1']);
  });

  it('knows no volume that is not open', async () => {
    const { native } = startPlane();
    await expect(native.createSnapshot('volume', randomUUID(), 'one')).rejects.toMatchObject({
      code: 'VOLUME_NOT_OPEN',
    });
  });
});

describe('deleteSnapshot', () => {
  it('says when the merge has finished, and keeps the data', async () => {
    const plane = startPlane();
    await openNew(plane, 'volume');
    const data = Buffer.alloc(256 * 1024, 'below');
    await write(plane, 'volume', 0, data);
    const id = randomUUID();
    await plane.native.createSnapshot('volume', id, id);
    await plane.native.deleteSnapshot('volume', id);
    expect(await plane.event('merge-finished', 'volume')).toEqual({
      kind: 'merge-finished',
      volume: 'volume',
      message: id,
    });
    expect(await layerIds(plane, 'volume')).toEqual([expect.stringMatching(/^head-\d+$/)]);
    expect(await read(plane, 'volume', 0, data.length)).toEqual(data);
  });

  it('knows no snapshot that is not there, or is removed already', async () => {
    const plane = startPlane();
    await openNew(plane, 'volume');
    const id = randomUUID();
    const gone = { code: 'SNAPSHOT_MISSING' };
    await expect(plane.native.deleteSnapshot('volume', id)).rejects.toMatchObject(gone);
    await plane.native.createSnapshot('volume', id, id);
    const twice = await Promise.allSettled([1, 2].map(() => plane.native.deleteSnapshot('volume', id)));
    expect(twice).toMatchObject([{ status: 'fulfilled' }, { status: 'rejected', reason: gone }]);
  });

  it('lets the volume close in the middle of the merge, which the next open finishes', async () => {
    const plane = startPlane();
    const { directory } = await openNew(plane, 'volume', { sizeBytes: 64 * mebibyte });
    const data = Buffer.alloc(32 * mebibyte, 'below');
    await write(plane, 'volume', 0, data);
    const id = randomUUID();
    await plane.native.createSnapshot('volume', id, id);
    await plane.native.deleteSnapshot('volume', id);
    await plane.native.closeVolume('volume');
    const reportedBefore = plane.events.length;

    const { address } = await openServed(plane, { name: 'volume', directory });
    if (reportedBefore === 0) await plane.event('merge-finished', 'volume');
    expect(await layerIds(plane, 'volume')).toEqual([expect.stringMatching(/^head-\d+$/)]);
    const client = await NbdConnection.open(address, 'volume');
    for (let at = 0; at < data.length; at += mebibyte)
      expect((await client.read(at, mebibyte)).equals(data.subarray(at, at + mebibyte))).toBe(true);
    await client.disconnect();
    expect(plane.events).toHaveLength(1);
  });
});

describe('revertSnapshot', () => {
  it('brings back what the volume held', async () => {
    const plane = startPlane();
    await openNew(plane, 'volume');
    await write(plane, 'volume', 0, Buffer.alloc(4096, 1));
    const id = randomUUID();
    await plane.native.createSnapshot('volume', id, id);
    await write(plane, 'volume', 0, Buffer.alloc(8192, 2));
    await plane.native.revertSnapshot('volume', id);
    expect(await read(plane, 'volume', 0, 8192)).toEqual(Buffer.concat([Buffer.alloc(4096, 1), Buffer.alloc(4096)]));
  });

  it('knows no snapshot that is not there', async () => {
    const plane = startPlane();
    await openNew(plane, 'volume');
    await expect(plane.native.revertSnapshot('volume', randomUUID())).rejects.toMatchObject({
      code: 'SNAPSHOT_MISSING',
    });
  });

  it('refuses a volume that is exported', async () => {
    const plane = startPlane();
    await openNew(plane, 'volume');
    const id = randomUUID();
    await plane.native.createSnapshot('volume', id, id);
    await plane.native.addExport(exportOf('volume'));
    await expect(plane.native.revertSnapshot('volume', id)).rejects.toMatchObject({ code: 'VOLUME_IN_USE' });
  });

  it('keeps the volume from being exported meanwhile', async () => {
    const plane = startPlane();
    await openNew(plane, 'volume');
    const id = randomUUID();
    await plane.native.createSnapshot('volume', id, id);
    const reverting = plane.native.revertSnapshot('volume', id);
    await expect(plane.native.addExport(exportOf('volume'))).rejects.toMatchObject({ code: 'VOLUME_IN_USE' });
    await reverting;
    await plane.native.addExport(exportOf('volume'));
  });
});
