/** Records: compared when changed, checked when read. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Records, type VolumeRecord } from '../../src/control/records.js';
import { EmbeddedStore } from '../../src/control/store/embedded-store.js';
import { eventually, RunningService } from '../support/running-service.js';

let directory: string;
let store: EmbeddedStore;
let records: Records;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'cairn-records-'));
  store = await EmbeddedStore.open(directory);
  records = new Records(store);
});
afterEach(async () => {
  await store.close();
  await rm(directory, { recursive: true });
});

const record: VolumeRecord = {
  name: 'db',
  id: 'id',
  replicaId: 'replica',
  pool: '/pool',
  sizeBytes: 4096,
  blockSize: 4096,
  cacheMode: 'none',
  state: 'ready',
  frontend: null,
  created: '2025-01-01T00:00:00.000Z',
};

describe('a record', () => {
  it('is read as it was written, under its versioned key', async () => {
    expect(await records.volumes.create(record)).toBe(true);
    expect((await records.volumes.get('db'))?.record).toEqual(record);
    expect(JSON.parse((await store.get('/cairn/v1/volumes/db'))?.value ?? '')).toEqual(record);
  });

  it('is not created twice', async () => {
    await records.volumes.create(record);
    expect(await records.volumes.create({ ...record, id: 'other' })).toBe(false);
    expect((await records.volumes.get('db'))?.record.id).toBe('id');
  });

  it('is not changed or removed by one who saw an older version', async () => {
    await records.volumes.create(record);
    const old = await records.volumes.get('db');
    if (!old) throw new Error('there is no record');
    const changed = await records.volumes.change(old, { frontend: 'nbd' });
    await expect(records.volumes.change(old, { frontend: 'none' })).rejects.toMatchObject({ code: 'store-conflict' });
    await expect(records.volumes.remove(old)).rejects.toMatchObject({ code: 'store-conflict' });
    await records.volumes.remove(changed);
    expect(await records.volumes.get('db')).toBeNull();
  });

  it('keeps fields of a newer version when an older one changes it', async () => {
    await store.txn([], [{ put: '/cairn/v1/volumes/db', value: JSON.stringify({ ...record, colour: 'red' }) }]);
    const stored = await records.volumes.get('db');
    if (stored) await records.volumes.change(stored, { frontend: 'nbd' });
    expect((await store.get('/cairn/v1/volumes/db'))?.value).toContain('"colour":"red"');
  });

  it.each(['DB', '', '../db', 'a/b', 'a b'])('cannot have the name %j, so that there is none', async (name) => {
    expect(await records.volumes.get(name)).toBeNull();
  });

  it.each([
    '{',
    '[]',
    '{}',
    JSON.stringify({ ...record, state: 'odd' }),
    JSON.stringify({ ...record, sizeBytes: '1' }),
  ])('that cannot be read is an error, and hides no other: %s', async (value) => {
    await records.volumes.create({ ...record, name: 'well' });
    await store.txn([], [{ put: '/cairn/v1/volumes/db', value }]);
    await expect(records.volumes.get('db')).rejects.toMatchObject({ code: 'store-corrupt' });
    const corrupt: string[] = [];
    const listed = await records.volumes.list(({ detail }) => void corrupt.push(detail));
    expect(listed.map(({ record: { name } }) => name)).toEqual(['well']);
    expect(corrupt).toEqual([expect.stringContaining('/cairn/v1/volumes/db')]);
  });
});

describe('a volume whose record cannot be read', () => {
  it('is served on, and told of when it is asked for', async () => {
    const own = await EmbeddedStore.open(join(directory, 'own'));
    const service = await RunningService.start({ store: own });
    await service.client.createVolume({ body: { name: 'db', size: 4096 } });
    await service.client.attachVolume({ params: { name: 'db' } });
    await own.txn([], [{ put: '/cairn/v1/volumes/db', value: 'rubbish' }]);
    service.engine.emit({ kind: 'process-started', process: 'node', pid: 1, restarted: false });
    await eventually(async () => (await service.client.listEvents()).events.map(({ kind }) => kind)).toContain(
      'volume-faulted',
    );
    expect([...service.dataPlane.open.keys()]).toEqual(['db']);
    expect(await service.ask('GET', '/v1/volumes/db')).toMatchObject({ status: 500, body: { code: 'store-corrupt' } });
    await service.end();
  });
});
