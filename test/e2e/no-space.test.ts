/** A full disk is an error to the client and nothing worse: what was written stays, and writes go on once there is room. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { errno } from '../support/nbd-wire.js';
import { NbdConnection, NbdError } from '../support/nbd-connection.js';
import { freshCairn } from '../support/real-fixture.js';
import { eventually } from '../support/real-deadline.js';
import { needsLoopDevices, needsTools, run } from '../support/real-tools.js';
import { smallPool } from '../support/small-pool.js';

const mebibyte = 2 ** 20;
const chunkBytes = 256 * 1024;
const chunksMax = 1024;

const chunkOf = (number: number) => Buffer.alloc(chunkBytes, (number % 250) + 1);

/** Writes chunks until the server refuses; resolves with how many it took and the error. */
async function fillUp(client: NbdConnection, from = 0): Promise<{ written: number; error: unknown }> {
  for (let written = from; written < chunksMax; written += 1) {
    try {
      await client.write(written * chunkBytes, chunkOf(written));
    } catch (error) {
      return { written, error };
    }
  }
  return { written: chunksMax, error: undefined };
}

async function expectChunks(client: NbdConnection, count: number): Promise<void> {
  for (let number = 0; number < count; number += 1) {
    const data = await client.read(number * chunkBytes, chunkBytes);
    expect(data.equals(chunkOf(number)), `chunk ${number}`).toBe(true);
  }
}

it('a full pool answers ENOSPC, keeps every acknowledged write, and takes writes again when there is room', async (context) => {
  needsLoopDevices(context);
  needsTools(context, 'fallocate');
  const pool = await smallPool(96 * mebibyte);
  const ballast = join(pool, 'ballast');
  await run('fallocate', ['-l', String(24 * mebibyte), ballast]);
  const cairn = await freshCairn({ pool });
  await cairn.serveVolume('db', { size: '256MiB' });
  const client = await NbdConnection.open(cairn.address(), 'db');

  const { written, error } = await fillUp(client);
  expect(error).toEqual(new NbdError(errno.noSpace));
  expect(written).toBeGreaterThan(64);
  await expectChunks(client, written);
  await client.write(0, chunkOf(0)); // an overwrite needs no room
  await client.flush();
  await eventually('the alarm is raised', async () =>
    (await cairn.events('db')).some(({ kind }) => kind === 'no-space'),
  );

  rmSync(ballast);
  const more = await fillUp(client, written);
  expect(more.written).toBeGreaterThan(written + 32);
  await client.disconnect();

  await cairn.stop();
  await cairn.startServe();
  await eventually('the volume is attached', async () => (await cairn.volume('db')).state === 'attached');
  const again = await NbdConnection.open(cairn.address(), 'db');
  await expectChunks(again, more.written);
  await again.disconnect();
});

it('trimming makes room in a full pool', async (context) => {
  needsLoopDevices(context);
  const pool = await smallPool(64 * mebibyte);
  const cairn = await freshCairn({ pool });
  await cairn.serveVolume('db', { size: '256MiB' });
  const client = await NbdConnection.open(cairn.address(), 'db');
  const { written } = await fillUp(client);
  await client.trim(0, 32 * chunkBytes);
  const more = await fillUp(client, written);
  expect(more.written).toBeGreaterThan(written + 16);
  expect((await client.read(0, chunkBytes)).every((byte) => byte === 0)).toBe(true);
  await client.disconnect();
});

it('a snapshot in a full pool fails cleanly or works, and the volume goes on either way', async (context) => {
  needsLoopDevices(context);
  const pool = await smallPool(64 * mebibyte);
  const cairn = await freshCairn({ pool });
  await cairn.serveVolume('db', { size: '256MiB' });
  const client = await NbdConnection.open(cairn.address(), 'db');
  const { written } = await fillUp(client);
  const { status } = await cairn.rest.send('POST', '/v1/volumes/db/snapshots', { name: 'full' });
  expect([201, 507]).toContain(status);
  await expectChunks(client, written);
  await client.trim(0, 16 * chunkBytes);
  expect((await client.read(0, chunkBytes)).every((byte) => byte === 0)).toBe(true);
  await client.disconnect();
});

it('a snapshot can be deleted in a full pool, which makes room', async (context) => {
  needsLoopDevices(context);
  const pool = await smallPool(96 * mebibyte);
  const cairn = await freshCairn({ pool });
  await cairn.serveVolume('db', { size: '256MiB' });
  const client = await NbdConnection.open(cairn.address(), 'db');
  const half = 128;
  for (let number = 0; number < half; number += 1) await client.write(number * chunkBytes, chunkOf(number));
  await cairn.createSnapshot('db', 'one');
  for (let number = 0; number < half; number += 1) {
    const full = await client.write(number * chunkBytes, chunkOf(number + 1)).catch(() => 'full');
    if (full === 'full') break;
  }
  const { written } = await fillUp(client, half);
  await run('sh', ['-c', `dd if=/dev/zero of=${join(pool, 'ballast')} bs=1024 status=none || true`]);

  await cairn.rest.call('DELETE', '/v1/volumes/db/snapshots/one');
  await eventually('the snapshot is merged away', async () => (await cairn.snapshots('db')).length === 0, 60_000);
  const more = await fillUp(client, written);
  expect(more.written).toBeGreaterThan(written + 32);
  await client.disconnect();
});
