/** Replicas and volumes of a data plane, as src/engine/native.ts promises them. */
import { randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { noLimits, type CacheMode, type NewReplica } from '../../src/engine/native.js';
import { exportOf, newReplica, openNew, serve, startPlane, whyNoAddon } from '../support/native-plane.js';
import { NbdConnection } from '../support/nbd-connection.js';
import { scratchDirectory } from '../support/scratch.js';

const mebibyte = 1024 * 1024;

beforeEach((context) => {
  if (whyNoAddon !== null) context.skip(whyNoAddon);
});

function replicaIn(directory: string, changes: Partial<NewReplica> = {}): NewReplica {
  const ids = { volumeId: randomUUID(), replicaId: randomUUID() };
  return { directory, ...ids, sizeBytes: mebibyte, blockSize: 4096, ...changes };
}

function takesSize(file: string, sizeBytes: number): boolean {
  try {
    truncateSync(file, sizeBytes);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EFBIG') return false;
    throw error;
  }
}

describe('createReplica', () => {
  it.each([
    ['the smallest size', { sizeBytes: 4096 }],
    ['a size of 8 TiB', { sizeBytes: 8 * 2 ** 40 }],
    ['512-byte blocks', { blockSize: 512 }],
  ])('takes %s', async (_what, changes) => {
    const { native } = startPlane();
    const directory = join(scratchDirectory(), 'replica');
    await native.createReplica(replicaIn(directory, changes));
    const info = await native.openVolume({ name: 'volume', directory, cacheMode: 'none', limits: noLimits });
    expect(info).toMatchObject(changes);
  });

  it.each([
    ['size 0', { sizeBytes: 0 }],
    ['a size just below a block', { sizeBytes: 4095 }],
    ['a size just above a block', { sizeBytes: 4097 }],
    ['a size above 64 TiB', { sizeBytes: 64 * 2 ** 40 + 4096 }],
    ['another block size', { blockSize: 1024 }],
    ['a block size that is 512 only modulo 2^32', { blockSize: 2 ** 32 - 1 }],
    ['a volume id that is no UUID', { volumeId: 'volume' }],
    ['a replica id that is no UUID', { replicaId: '' }],
  ])('refuses %s and makes nothing', async (_what, changes) => {
    const { native } = startPlane();
    const directory = join(scratchDirectory(), 'replica');
    await expect(native.createReplica(replicaIn(directory, changes))).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
    expect(existsSync(directory)).toBe(false);
  });

  it('refuses a size that the file system has no files of', async (context) => {
    const { native } = startPlane();
    const directory = scratchDirectory();
    const sizeBytes = 64 * 2 ** 40;
    const file = join(directory, 'file');
    writeFileSync(file, '');
    if (takesSize(file, sizeBytes)) context.skip(`the file system of ${directory} has files of 64 TiB`);
    await expect(native.createReplica(replicaIn(join(directory, 'replica'), { sizeBytes }))).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      message: expect.stringContaining('choose a smaller size'),
    });
  });

  it('leaves a replica that is there alone', async () => {
    const plane = startPlane();
    const directory = await newReplica(plane);
    await expect(plane.native.createReplica(replicaIn(directory))).rejects.toMatchObject({ code: 'REPLICA_EXISTS' });
    await plane.native.openVolume({ name: 'volume', directory, cacheMode: 'none', limits: noLimits });
  });

  it('begins again where an attempt was cut short', async () => {
    const { native } = startPlane();
    const directory = join(scratchDirectory(), 'replica');
    mkdirSync(directory);
    writeFileSync(join(directory, 'superblock'), 'half of one');
    await native.createReplica(replicaIn(directory));
    await native.openVolume({ name: 'volume', directory, cacheMode: 'none', limits: noLimits });
  });

  it('passes on what the system says', async () => {
    const { native } = startPlane();
    const file = join(scratchDirectory(), 'file');
    writeFileSync(file, '');
    await expect(native.createReplica(replicaIn(join(file, 'replica')))).rejects.toMatchObject({ code: 'ENOTDIR' });
  });
});

describe('openVolume', () => {
  it('says what it found', async () => {
    const plane = startPlane();
    const directory = join(scratchDirectory(), 'replica');
    const replica = replicaIn(directory);
    await plane.native.createReplica(replica);
    const info = await plane.native.openVolume({ name: 'volume', directory, cacheMode: 'none', limits: noLimits });
    expect(info).toMatchObject({
      name: 'volume',
      directory,
      volumeId: replica.volumeId,
      sizeBytes: mebibyte,
      blockSize: 4096,
      cacheMode: 'none',
      layers: [{ id: 'head-0', parent: null, removed: false, inChain: true, mergeProgress: 0 }],
      clients: 0,
      failure: null,
      recovered: false,
    });
    expect(Object.values(info.counters)).toEqual(Array.from({ length: 11 }, () => 0));
    expect(await plane.native.volumeInfo('volume')).toEqual(info);
  });

  it('refuses a name that is open, also while it is being opened', async () => {
    const plane = startPlane();
    const [one, other] = [await newReplica(plane), await newReplica(plane)];
    const opening = plane.native.openVolume({ name: 'volume', directory: one, cacheMode: 'none', limits: noLimits });
    const again = { name: 'volume', directory: other, cacheMode: 'none', limits: noLimits } as const;
    await expect(plane.native.openVolume(again)).rejects.toMatchObject({ code: 'VOLUME_EXISTS' });
    await opening;
    await expect(plane.native.openVolume(again)).rejects.toMatchObject({ code: 'VOLUME_EXISTS' });
  });

  it('refuses a volume without a name', async () => {
    const plane = startPlane();
    const directory = await newReplica(plane);
    await expect(
      plane.native.openVolume({ name: '', directory, cacheMode: 'none', limits: noLimits }),
    ).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
  });

  it.each([
    ['nothing', () => {}],
    ['an empty directory', (directory: string) => mkdirSync(directory)],
  ])('finds no replica where there is %s', async (_what, make) => {
    const { native } = startPlane();
    const directory = join(scratchDirectory(), 'replica');
    make(directory);
    await expect(
      native.openVolume({ name: 'volume', directory, cacheMode: 'none', limits: noLimits }),
    ).rejects.toMatchObject({
      code: 'REPLICA_MISSING',
    });
  });

  it.each([
    ['superblock', (path: string) => writeFileSync(path, Buffer.alloc(8192, 0x55))],
    ['superblock', (path: string) => truncateSync(path, 0)],
    ['volume.json', (path: string) => writeFileSync(path, '{"volumeId":')],
    ['volume.json', (path: string) => writeFileSync(path, '[]')],
    ['layer-0.map', (path: string) => truncateSync(path, 100)],
  ])('refuses a replica whose %s is damaged, and opens another under that name', async (file, damage) => {
    const plane = startPlane();
    const [damaged, whole] = [await newReplica(plane), await newReplica(plane)];
    const path = readdirSync(damaged).find((name) => name === file || name.replace('head', 'layer') === file) ?? file;
    damage(join(damaged, path));
    // One of the two would be mended from the other.
    if (file === 'volume.json') damage(join(damaged, 'volume.copy.json'));
    const open = (directory: string) =>
      plane.native.openVolume({ name: 'volume', directory, cacheMode: 'none', limits: noLimits });
    await expect(open(damaged)).rejects.toMatchObject({ code: 'REPLICA_CORRUPT' });
    await open(whole);
  });

  it('refuses a replica that another plane has, and answers for other volumes meanwhile', async () => {
    const [plane, other] = [startPlane(), startPlane()];
    const { directory } = await openNew(other, 'theirs');
    await openNew(plane, 'mine');
    let isRefused = false;
    const opening = expect(plane.native.openVolume({ name: 'theirs', directory, cacheMode: 'none', limits: noLimits }))
      .rejects.toMatchObject({ code: 'VOLUME_LOCKED' })
      .then(() => (isRefused = true));
    await plane.native.volumeInfo('mine');
    expect(isRefused, 'it waits for the owner to end').toBe(false);
    await opening;
  });

  it.each<CacheMode>(['none', 'writeback', 'writethrough'])('keeps data in cache mode %s', async (cacheMode) => {
    const plane = startPlane();
    const directory = await newReplica(plane, { blockSize: 512 });
    const data = Buffer.alloc(5 * 512, cacheMode);
    await plane.native.openVolume({ name: 'volume', directory, cacheMode, limits: noLimits });
    const address = await serve(plane, 'volume');
    const writer = await NbdConnection.open(address, 'volume');
    await writer.write(3 * 512, data);
    await writer.disconnect();
    await plane.native.removeExport('volume', false);
    await plane.native.closeVolume('volume');
    const info = await plane.native.openVolume({ name: 'volume', directory, cacheMode, limits: noLimits });
    expect(info).toMatchObject({ cacheMode, recovered: false });
    await plane.native.addExport(exportOf('volume'));
    const reader = await NbdConnection.open(address, 'volume');
    expect(await reader.read(3 * 512, data.length)).toEqual(data);
    await reader.disconnect();
  });
});

describe('volumeInfo', () => {
  it('counts clients, requests and space', async () => {
    const plane = startPlane();
    const before = await openNew(plane, 'volume');
    const client = await NbdConnection.open(await serve(plane, 'volume'), 'volume');
    await client.write(0, Buffer.alloc(65_536, 1));
    await client.read(0, 4096);
    await client.flush();
    await client.trim(0, 4096);
    await client.writeZeroes(4096, 4096);
    const { clients, counters, layers } = await plane.native.volumeInfo('volume');
    expect(clients).toBe(1);
    expect(counters).toMatchObject({ writes: 1, writtenBytes: 65_536, reads: 1, readBytes: 4096 });
    expect(counters).toMatchObject({ flushes: 1, trims: 1, trimmedBytes: 4096, writeZeroes: 1, errors: 0 });
    expect(layers[0]?.allocatedBytes).toBeGreaterThan(before.layers[0]?.allocatedBytes ?? 0);
    await client.disconnect();
  });

  it('knows no volume that is not open', async () => {
    const { native } = startPlane();
    await expect(native.volumeInfo('volume')).rejects.toMatchObject({ code: 'VOLUME_NOT_OPEN' });
  });
});

describe('closeVolume', () => {
  it('knows no volume that is not open', async () => {
    const { native } = startPlane();
    await expect(native.closeVolume('volume')).rejects.toMatchObject({ code: 'VOLUME_NOT_OPEN' });
  });

  it('refuses a volume that is exported', async () => {
    const plane = startPlane();
    await openNew(plane, 'volume');
    await plane.native.addExport(exportOf('volume'));
    await expect(plane.native.closeVolume('volume')).rejects.toMatchObject({ code: 'VOLUME_IN_USE' });
    await plane.native.removeExport('volume', false);
    await plane.native.closeVolume('volume');
  });

  it('waits for what is under way and refuses what comes later', async () => {
    const plane = startPlane();
    await openNew(plane, 'volume');
    const snapshot = plane.native.createSnapshot('volume', randomUUID(), 'one');
    const closing = plane.native.closeVolume('volume');
    await expect(plane.native.volumeInfo('volume')).rejects.toMatchObject({ code: 'VOLUME_NOT_OPEN' });
    await expect(plane.native.closeVolume('volume')).rejects.toMatchObject({ code: 'VOLUME_NOT_OPEN' });
    await Promise.all([snapshot, closing]);
  });
});
