/** A volume that fails is reported, and costs no other one anything. */
import { randomUUID } from 'node:crypto';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { noLimits } from '../../src/engine/native.js';
import { exportOf, listen, openNew, startPlane, whyNoAddon, type TestPlane } from '../support/native-plane.js';
import { NbdConnection, NbdError } from '../support/nbd-connection.js';
import { errno } from '../support/nbd-wire.js';
import { needsLoopDevices } from '../support/real-tools.js';
import { smallPool } from '../support/small-pool.js';

const mebibyte = 1024 * 1024;

beforeEach((context) => {
  if (whyNoAddon !== null) context.skip(whyNoAddon);
});

async function connect(plane: TestPlane, volume: string): Promise<NbdConnection> {
  await plane.native.addExport(exportOf(volume));
  return NbdConnection.open(await listen(plane), volume);
}

describe('a pool without space', () => {
  it('fails the writes of its volumes, says so once, and takes them again when there is room', async (context) => {
    needsLoopDevices(context);
    const pool = await smallPool(32 * mebibyte);
    const plane = startPlane();
    await openNew(plane, 'healthy');
    const directory = join(pool, 'replica');
    const ids = { volumeId: randomUUID(), replicaId: randomUUID() };
    await plane.native.createReplica({ directory, ...ids, sizeBytes: 64 * mebibyte, blockSize: 4096 });
    await plane.native.openVolume({ name: 'full', directory, cacheMode: 'none', limits: noLimits });
    const [full, healthy] = [await connect(plane, 'full'), await connect(plane, 'healthy')];

    const written = await writeUntilFull(full);
    expect((await plane.event('no-space', 'full')).message).toContain(directory);
    await expect(full.write(written, Buffer.alloc(mebibyte))).rejects.toMatchObject({ errno: errno.noSpace });
    await healthy.write(0, Buffer.alloc(mebibyte, 1));
    expect(plane.events).toHaveLength(1);
    expect(await full.read(0, 4096)).toEqual(Buffer.alloc(4096, 7));

    await full.trim(0, 16 * mebibyte);
    await full.write(written, Buffer.alloc(mebibyte, 8));
    expect((await plane.native.volumeInfo('full')).failure).toBeNull();
    await full.disconnect();
    await healthy.disconnect();
    await plane.native.close();
  });
});

/** Resolves with the offset at which there was no space. */
async function writeUntilFull(client: NbdConnection): Promise<number> {
  for (let offset = 0; ; offset += mebibyte) {
    try {
      await client.write(offset, Buffer.alloc(mebibyte, 7));
    } catch (error) {
      if (error instanceof NbdError && error.errno === errno.noSpace) return offset;
      throw error;
    }
  }
}

describe('a merge that cannot go on', () => {
  it('is reported, while the volume and its snapshots stay in use', async () => {
    const plane = startPlane();
    const { directory } = await openNew(plane, 'volume');
    const [base, damaged, child] = [randomUUID(), randomUUID(), randomUUID()] as const;
    for (const id of [base, damaged, child]) await plane.native.createSnapshot('volume', id, id);
    await plane.native.revertSnapshot('volume', base); // the others are beside the chain now, their files closed
    rmSync(join(directory, 'layer-1.map'));

    await plane.native.deleteSnapshot('volume', damaged);
    const { message } = await plane.event('volume-failed', 'volume');
    expect(message).toContain(damaged);
    expect(message).toContain('layer-1.map');
    const { layers, failure } = await plane.native.volumeInfo('volume');
    expect(layers.find(({ id }) => id === damaged)).toMatchObject({ removed: true, inChain: false });
    expect(failure).toBeNull();
    const client = await connect(plane, 'volume');
    await client.write(0, Buffer.alloc(4096, 1));
    await client.disconnect();
    await plane.native.createSnapshot('volume', randomUUID(), 'one');
  });
});
