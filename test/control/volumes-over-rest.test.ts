/** Volumes as an administrator sees them: real HTTP, a fake data plane. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Volume } from '../../src/api/schemas.js';
import { Validator } from '../../src/api/validation.js';
import { CairnError } from '../../src/errors.js';
import { eventually, RunningService } from '../support/running-service.js';

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const db = { params: { name: 'db' } };

let service: RunningService;
beforeEach(async () => {
  service = await RunningService.start();
});
afterEach(() => service.end());

async function create(name = 'db'): Promise<void> {
  await service.client.createVolume({ body: { name, size: '1GiB' } });
}

describe('creating a volume', () => {
  it('answers 201 with the volume, detached, and where it is', async () => {
    const { status, headers, body } = await service.ask('POST', '/v1/volumes', { name: 'db', size: '10GiB' });
    expect(status).toBe(201);
    expect(headers.get('location')).toBe('/v1/volumes/db');
    expect(body).toMatchObject({
      name: 'db',
      id: expect.stringMatching(uuid) as string,
      size: 10 * 2 ** 30,
      blockSize: 4096,
      cacheMode: 'none',
      state: 'detached',
      reason: null,
      frontend: null,
      uris: [],
      clients: 0,
      allocatedBytes: 4096,
      source: null,
      flatten: null,
      scrub: null,
      deletion: null,
      snapshotCount: 0,
    });
    expect(new Validator(Volume).errorsIn(body, 'body')).toEqual([]);
  });

  it('makes a replica of that kind in the pool', async () => {
    const { id } = await service.client.createVolume({
      body: { name: 'db', size: 8192, blockSize: 512, cacheMode: 'writeback' },
    });
    const [replica] = service.dataPlane.replicas.values();
    expect(replica).toMatchObject({ volumeId: id, sizeBytes: 8192, blockSize: 512 });
    expect(replica?.directory).toBe(`${service.directory}/pool/replicas/${id}/${replica?.replicaId}`);
  });

  it.each([4096, 64 * 2 ** 40, '64TiB', '4KiB'])('takes the size %j', async (size) => {
    expect((await service.ask('POST', '/v1/volumes', { name: 'db', size })).status).toBe(201);
  });

  it.each([0, 4095, 4097, 64 * 2 ** 40 + 4096, '4097', '65TiB', '10GB', -4096, 1.5])(
    'refuses the size %j and names the field',
    async (size) => {
      const { status, headers, body } = await service.ask('POST', '/v1/volumes', { name: 'db', size });
      expect([status, body.code]).toEqual([400, 'invalid-request']);
      expect(headers.get('content-type')).toContain('application/problem+json');
      expect(body.errors?.map(({ field }) => field)).toEqual(['size']);
      expect((await service.client.listVolumes()).volumes).toEqual([]);
    },
  );

  it.each([
    ['vault', 201],
    ['vault-transit', 400],
    ['file', 400],
    ['credential', 400],
    ['command', 400],
    [undefined, 400],
  ])('answers a key that is a path of the provider %s with %i', async (provider, expected) => {
    const encryption = { key: 'team/db', ...(provider !== undefined && { provider }) };
    const { status, body } = await service.ask('POST', '/v1/volumes', { name: 'db', size: 4096, encryption });
    expect(status).toBe(expected);
    if (expected === 400) expect(body.errors?.map(({ field }) => field)).toEqual(['encryption.key']);
  });

  it('refuses a name that is taken', async () => {
    await create();
    const { status, body } = await service.ask('POST', '/v1/volumes', { name: 'db', size: 4096 });
    expect([status, body.code, body.errors?.[0]?.field]).toEqual([409, 'volume-exists', 'name']);
    expect(service.dataPlane.replicas.size).toBe(1);
  });

  it('lets one of two with the same name win', async () => {
    const both = await Promise.all([1, 2].map(() => service.ask('POST', '/v1/volumes', { name: 'db', size: 4096 })));
    expect(new Set(both.map(({ status }) => status))).toEqual(new Set([201, 409]));
  });

  it('takes everything back when the data plane cannot, and says why', async () => {
    service.engine.failNext('createReplica', new CairnError('no-space', 'The pool is full. Free some space.'));
    const { status, body } = await service.ask('POST', '/v1/volumes', { name: 'db', size: 4096 });
    expect([status, body.code, body.detail]).toEqual([507, 'no-space', 'The pool is full. Free some space.']);
    expect((await service.client.listVolumes()).volumes).toEqual([]);
    await create();
  });
});

describe('looking at volumes', () => {
  it('lists them by name', async () => {
    for (const name of ['b', 'a', 'c']) await create(name);
    const { volumes } = await service.client.listVolumes();
    expect(volumes.map(({ name }) => name)).toEqual(['a', 'b', 'c']);
  });

  it('shows the same in the list and alone', async () => {
    await create();
    await service.client.attachVolume(db);
    await service.client.createSnapshot(db);
    const { volumes } = await service.client.listVolumes();
    expect(volumes).toEqual([await service.client.getVolume(db)]);
    expect(volumes[0]).toMatchObject({ snapshotCount: 1, allocatedBytes: 8192 });
  });

  it.each(['db', 'DB', '..%2f..', '%20', 'a%00b', 'x'.repeat(200)])('answers 404 for the volume %s', async (name) => {
    for (const [method, path] of [
      ['GET', ''],
      ['DELETE', ''],
      ['POST', '/attach'],
      ['POST', '/detach'],
      ['GET', '/snapshots'],
      ['POST', '/snapshots'],
      ['GET', '/snapshots/s'],
      ['DELETE', '/snapshots/s'],
      ['POST', '/snapshots/s/revert'],
    ] as const) {
      const { status, body } = await service.ask(method, `/v1/volumes/${name}${path}`);
      expect([status, body.code]).toEqual([404, 'volume-not-found']);
    }
  });

  it('shows a volume that refuses writes as faulted, with the reason', async () => {
    await create();
    await service.client.attachVolume(db);
    Object.assign(service.dataPlane.open.get('db') ?? {}, { failure: 'fsync failed: EIO' });
    expect(await service.client.getVolume(db)).toMatchObject({ state: 'faulted', reason: 'fsync failed: EIO' });
  });

  it('lists what it can when the data plane does not answer', async () => {
    await create('a');
    await create('b');
    await service.client.attachVolume({ params: { name: 'a' } });
    service.engine.failNext('allSeen', new CairnError('data-plane-unavailable', 'It is down.'));
    const { volumes } = await service.client.listVolumes();
    expect(volumes.map(({ state, reason }) => [state, reason])).toEqual([
      ['faulted', 'It is down.'],
      ['detached', null],
    ]);
  });
});

describe('attaching a volume', () => {
  it('serves it and tells where', async () => {
    await create();
    const { status, body } = await service.ask('POST', '/v1/volumes/db/attach', { frontend: 'nbd' });
    expect(status).toBe(200);
    expect(body).toMatchObject({ state: 'attached', frontend: 'nbd', uris: ['nbd://127.0.0.1:10809/db'], clients: 0 });
  });

  it('takes nbd when nothing is said, with or without a body', async () => {
    await create();
    expect(await service.client.attachVolume(db)).toMatchObject({ frontend: 'nbd' });
    await service.client.detachVolume(db);
    expect(await service.client.attachVolume({ ...db, body: {} })).toMatchObject({ frontend: 'nbd' });
  });

  it('holds it open for maintenance, served to nobody', async () => {
    await create();
    const volume = await service.client.attachVolume({ ...db, body: { frontend: 'none' } });
    expect(volume).toMatchObject({ state: 'attached', frontend: 'none', uris: [] });
  });

  it('can be repeated', async () => {
    await create();
    const first = await service.client.attachVolume(db);
    expect(await service.client.attachVolume(db)).toEqual(first);
  });

  it('refuses another frontend while it is attached', async () => {
    await create();
    await service.client.attachVolume(db);
    const { status, body } = await service.ask('POST', '/v1/volumes/db/attach', { frontend: 'none' });
    expect([status, body.code]).toEqual([409, 'volume-attached']);
    expect(await service.client.getVolume(db)).toMatchObject({ frontend: 'nbd' });
  });

  it.each([{ frontend: 'fc' }, { frontend: null }, { frontend: 'nbd', force: true }])('refuses %j', async (body) => {
    await create();
    expect((await service.ask('POST', '/v1/volumes/db/attach', body)).body.code).toBe('invalid-request');
  });

  it('leaves it detached when the data plane cannot', async () => {
    await create();
    service.engine.failNext(
      'attach',
      new CairnError('replica-corrupt', 'The superblock is damaged. Restore the volume.'),
    );
    const { status, body } = await service.ask('POST', '/v1/volumes/db/attach');
    expect([status, body.code]).toEqual([500, 'replica-corrupt']);
    expect(await service.client.getVolume(db)).toMatchObject({ state: 'detached', frontend: null });
  });
});

describe('detaching a volume', () => {
  it('closes it', async () => {
    await create();
    await service.client.attachVolume(db);
    expect(await service.client.detachVolume(db)).toMatchObject({ state: 'detached', uris: [], frontend: null });
    expect(service.dataPlane.open.size).toBe(0);
  });

  it('succeeds when it is detached already', async () => {
    await create();
    expect(await service.client.detachVolume(db)).toMatchObject({ state: 'detached' });
  });

  it('is refused while clients are connected, unless forced', async () => {
    await create();
    await service.client.attachVolume(db);
    Object.assign(service.dataPlane.open.get('db') ?? {}, { clients: 1 });
    const { status, body } = await service.ask('POST', '/v1/volumes/db/detach', {});
    expect([status, body.code]).toEqual([409, 'volume-in-use']);
    expect(await service.client.getVolume(db)).toMatchObject({ state: 'attached', clients: 1 });
    const forced = await service.client.detachVolume({ ...db, body: { force: true } });
    expect(forced).toMatchObject({ state: 'detached', clients: 0 });
  });
});

describe('deleting a volume', () => {
  it('answers 202 when everything is removed, snapshots too', async () => {
    await create();
    await service.client.createSnapshot(db);
    const { status, body } = await service.ask('DELETE', '/v1/volumes/db');
    expect([status, body]).toMatchObject([202, { name: 'db', state: 'deleting' }]);
    expect((await service.ask('GET', '/v1/volumes/db')).status).toBe(404);
    expect(service.dataPlane.replicas.size).toBe(0);
    await create();
    expect((await service.client.listSnapshots(db)).snapshots).toEqual([]);
  });

  it('removes more snapshots than one transaction takes', { timeout: 60_000 }, async () => {
    await create();
    for (let count = 0; count < 130; count++)
      await service.client.createSnapshot({ ...db, body: { name: `s${count}` } });
    await service.client.deleteVolume(db);
    expect((await service.client.listVolumes()).volumes).toEqual([]);
  });

  it.each(['nbd', 'none'] as const)('is refused while it is attached (%s)', async (frontend) => {
    await create();
    await service.client.attachVolume({ ...db, body: { frontend } });
    const { status, body } = await service.ask('DELETE', '/v1/volumes/db');
    expect([status, body.code]).toEqual([409, 'volume-attached']);
  });

  it('goes on by itself when the data plane fails in the middle', async () => {
    await create();
    service.engine.failNext('deleteReplica', new CairnError('io-error', 'The disk is gone. Look at it.'), 3);
    expect((await service.ask('DELETE', '/v1/volumes/db')).body.code).toBe('io-error');
    await eventually(() => service.client.listVolumes()).toEqual({ volumes: [] });
    expect(service.dataPlane.replicas.size).toBe(0);
  });

  it('is not waited for when it takes long: its progress is seen, and nobody can use it meanwhile', async () => {
    await create();
    let goOn = (): void => {};
    service.engine.before('deletingReplica', () => new Promise((resolve) => (goOn = resolve)));
    expect((await service.ask('DELETE', '/v1/volumes/db')).status).toBe(202);
    expect(await service.client.getVolume(db)).toMatchObject({ state: 'deleting', deletion: { progress: 0.5 } });
    for (const path of ['/attach', '/detach', '/scrub', '/snapshots'])
      expect((await service.ask('POST', `/v1/volumes/db${path}`)).body.code).toBe('volume-busy');
    expect((await service.ask('POST', '/v1/volumes', { name: 'db', size: 4096 })).body.code).toBe('volume-exists');
    goOn();
    await eventually(() => service.client.listVolumes()).toEqual({ volumes: [] });
  });

  it('goes on in the next service when the service ends in the middle', async () => {
    await create();
    let goOn = (): void => {};
    service.engine.before('deletingReplica', () => new Promise((resolve) => (goOn = resolve)));
    await service.client.deleteVolume(db);
    const restarted = service.restart();
    goOn(); // what answers now finds that nobody waits for it any more
    await restarted;
    await eventually(() => service.client.listVolumes()).toEqual({ volumes: [] });
    expect(service.dataPlane.replicas.size).toBe(0);
  });
});
