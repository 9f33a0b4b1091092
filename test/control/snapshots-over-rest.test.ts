/** Snapshots as an administrator sees them: real HTTP, a fake data plane. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Snapshot } from '../../src/api/schemas.js';
import { Validator } from '../../src/api/validation.js';
import { CairnError } from '../../src/errors.js';
import { eventually, RunningService } from '../support/running-service.js';

const db = { params: { name: 'db' } };
const named = (snapshot: string) => ({ params: { name: 'db', snapshot } });

let service: RunningService;
beforeEach(async () => {
  service = await RunningService.start();
  await service.client.createVolume({ body: { name: 'db', size: '1GiB' } });
});
afterEach(() => service.end());

function layerIds(): string[] {
  const [replica] = service.dataPlane.replicas.values();
  return replica?.layers.map(({ id }) => id) ?? [];
}

const take = (name: string) => service.client.createSnapshot({ ...db, body: { name } });

describe('taking a snapshot', () => {
  it('answers 201 with the snapshot, ready', async () => {
    const { status, headers, body } = await service.ask('POST', '/v1/volumes/db/snapshots', { name: 'one' });
    expect(status).toBe(201);
    expect(headers.get('location')).toBe('/v1/volumes/db/snapshots/one');
    expect(body).toMatchObject({ name: 'one', volume: 'db', state: 'ready' });
    expect(new Validator(Snapshot).errorsIn(body, 'body')).toEqual([]);
    expect(layerIds()).toContain((body as unknown as Snapshot).id);
  });

  it('names it by the time when no name is given', async () => {
    expect((await service.client.createSnapshot(db)).name).toMatch(/^\d{8}-\d{6}-\d{3}$/);
  });

  it('refuses a name that is taken in this volume, not one of another volume', async () => {
    await service.client.createVolume({ body: { name: 'other', size: '1GiB' } });
    await service.client.createSnapshot({ params: { name: 'other' }, body: { name: 'one' } });
    await take('one');
    const { status, body } = await service.ask('POST', '/v1/volumes/db/snapshots', { name: 'one' });
    expect([status, body.code]).toEqual([409, 'snapshot-exists']);
  });

  it.each([{ name: 'Not Good' }, { name: '' }, { nam: 'one' }])('refuses %j', async (body) => {
    expect((await service.ask('POST', '/v1/volumes/db/snapshots', body)).body.code).toBe('invalid-request');
  });

  it('leaves nothing behind when the data plane cannot', async () => {
    service.engine.failNext('createSnapshot', new CairnError('no-space', 'Full. Free some space.'));
    expect((await service.ask('POST', '/v1/volumes/db/snapshots', { name: 'one' })).body.code).toBe('no-space');
    expect((await service.client.listSnapshots(db)).snapshots).toEqual([]);
  });
});

describe('a snapshot that clients read', () => {
  it('is not deleted, and stays as it was', async () => {
    await take('one');
    service.engine.failNext('deleteSnapshot', new CairnError('snapshot-in-use', 'Clients read it. Disconnect them.'));
    const { status, body } = await service.ask('DELETE', '/v1/volumes/db/snapshots/one');
    expect([status, body.code]).toEqual([409, 'snapshot-in-use']);
    expect(body.detail).toBe('Clients read snapshot one of volume db as db@one. Disconnect them, then delete it.');
    expect(await service.client.getSnapshot(named('one'))).toMatchObject({ state: 'ready' });
    expect(await service.client.getVolume(db)).toMatchObject({ state: 'detached' });
  });
});

describe('a deletion that a full disk cannot take', () => {
  it('is refused, and not done later', async () => {
    await take('one');
    service.engine.failNext('deleteSnapshot', new CairnError('no-space', 'Full. Free some space.'));
    expect((await service.ask('DELETE', '/v1/volumes/db/snapshots/one')).body.code).toBe('no-space');
    expect(await service.client.getSnapshot(named('one'))).toMatchObject({ state: 'ready' });
    expect(await service.client.getVolume(db)).toMatchObject({ state: 'detached' });
  });
});

describe('looking at snapshots', () => {
  it('lists them oldest first, with space and parents while the volume is attached', async () => {
    for (const name of ['c', 'a', 'b']) await take(name);
    await service.client.attachVolume(db);
    const { snapshots } = await service.client.listSnapshots(db);
    expect(snapshots.map(({ name, parent, allocatedBytes }) => [name, parent, allocatedBytes])).toEqual([
      ['c', null, 4096],
      ['a', 'c', 4096],
      ['b', 'a', 4096],
    ]);
    expect(await service.client.getSnapshot(named('a'))).toEqual(snapshots[1]);
  });

  it('says as much of one whose volume is detached, and opens that if it must', async () => {
    await take('one');
    await take('two');
    const seen = await service.client.getSnapshot(named('two'));
    expect(seen).toMatchObject({ allocatedBytes: 4096, parent: 'one', uris: [] });
    service.dataPlane.closed.clear(); // as for a service that has just started
    expect(await service.client.getSnapshot(named('two'))).toEqual(seen);
    expect(service.engine.calls).toContain('layers db');
  });

  it('names where clients can read them while the volume is served', async () => {
    await take('one');
    await service.client.attachVolume(db);
    expect((await service.client.getSnapshot(named('one'))).uris).toEqual(['nbd://127.0.0.1:10809/db@one']);
  });

  it('shows one that is deleted until it is merged away', async () => {
    await take('one');
    const [replica] = service.dataPlane.replicas.values();
    const [layer] = replica?.layers ?? [];
    service.engine.before('deleteSnapshot db', async () => {
      Object.assign(layer ?? {}, { removed: true, mergeProgress: 0.25 });
      throw new CairnError('snapshot-not-found', 'It is removed.');
    });
    await service.client.deleteSnapshot(named('one'));
    const { snapshots } = await service.client.listSnapshots(db);
    expect(snapshots).toMatchObject([{ name: 'one', state: 'deleting', mergeProgress: 0.25, uris: [] }]);
    expect((await service.ask('GET', '/v1/volumes/db/snapshots/one')).status).toBe(404);
  });

  it.each(['none', '..%2f', 'UPPER'])('answers 404 for the snapshot %s', async (name) => {
    for (const [method, path] of [
      ['GET', ''],
      ['DELETE', ''],
      ['POST', '/revert'],
    ] as const) {
      const { status, body } = await service.ask(method, `/v1/volumes/db/snapshots/${name}${path}`);
      expect([status, body.code]).toEqual([404, 'snapshot-not-found']);
    }
  });
});

describe('deleting a snapshot', () => {
  it('answers 204, and it is gone', async () => {
    const { id } = await take('one');
    expect((await service.ask('DELETE', '/v1/volumes/db/snapshots/one')).status).toBe(204);
    expect((await service.client.listSnapshots(db)).snapshots).toEqual([]);
    expect(layerIds()).not.toContain(id);
    await take('one');
  });

  it('goes on by itself when the data plane fails', async () => {
    await take('one');
    service.engine.failNext('deleteSnapshot', new CairnError('data-plane-unavailable', 'Down. Wait.'), 3);
    expect((await service.ask('DELETE', '/v1/volumes/db/snapshots/one')).status).toBe(503);
    await eventually(() => service.client.listSnapshots(db)).toEqual({ snapshots: [] });
    await eventually(async () => (await service.client.getVolume(db)).state).toBe('detached');
  });
});

describe('reverting to a snapshot', () => {
  it('is possible while the volume is detached, and keeps all snapshots', async () => {
    const { id } = await take('one');
    await take('two');
    const { status } = await service.ask('POST', '/v1/volumes/db/snapshots/one/revert');
    expect(status).toBe(200);
    const [replica] = service.dataPlane.replicas.values();
    expect(replica?.layers.at(-1)?.parent).toBe(id);
    expect((await service.client.listSnapshots(db)).snapshots).toHaveLength(2);
  });

  it('is possible in maintenance', async () => {
    await take('one');
    await service.client.attachVolume({ ...db, body: { frontend: 'none' } });
    expect(await service.client.revertSnapshot(named('one'))).toMatchObject({ name: 'db', frontend: 'none' });
  });

  it('is refused while the volume is served', async () => {
    await take('one');
    await service.client.attachVolume(db);
    const { status, body } = await service.ask('POST', '/v1/volumes/db/snapshots/one/revert');
    expect([status, body.code]).toEqual([409, 'volume-attached']);
  });

  it('takes no body', async () => {
    await take('one');
    const { body } = await service.ask('POST', '/v1/volumes/db/snapshots/one/revert', { force: true });
    expect(body.errors).toEqual([{ field: 'force', detail: 'is unknown: none is taken' }]);
  });
});
