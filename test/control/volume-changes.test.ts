/** Cloning, growing, flattening and scrubbing as an administrator sees them: real HTTP, a fake data plane. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Volume } from '../../src/api/schemas.js';
import { Validator } from '../../src/api/validation.js';
import { CairnError } from '../../src/errors.js';
import { eventually, RunningService } from '../support/running-service.js';

const db = { params: { name: 'db' } };
const copy = { params: { name: 'copy' } };
const source = { volume: 'db', snapshot: 'one' };
const gibibyte = 2 ** 30;

let service: RunningService;
beforeEach(async () => {
  service = await RunningService.start();
  await service.client.createVolume({ body: { name: 'db', size: '1GiB', blockSize: 512, cacheMode: 'writeback' } });
  await service.client.createSnapshot({ ...db, body: { name: 'one' } });
});
afterEach(() => service.end());

const clone = (changes: object = {}) => service.client.createVolume({ body: { name: 'copy', source, ...changes } });

function replicaOf({ id }: Volume) {
  return [...service.dataPlane.replicas.values()].find(({ volumeId }) => volumeId === id);
}

async function kinds(volume: string): Promise<string[]> {
  const { events } = await service.client.listEvents({ query: { volume } });
  return events.map(({ kind }) => kind);
}

describe('cloning', () => {
  it('answers 201 with a volume like its parent that says where it came from', async () => {
    const { status, body } = await service.ask('POST', '/v1/volumes', { name: 'copy', source });
    expect(status).toBe(201);
    expect(body).toMatchObject({
      state: 'detached',
      size: gibibyte,
      blockSize: 512,
      cacheMode: 'writeback',
      source: { ...source, linked: true },
      flatten: null,
    });
    expect(new Validator(Volume).errorsIn(body, 'body')).toEqual([]);
  });

  it('makes the replica in the pool of its parent, with another identity', async () => {
    const parent = replicaOf(await service.client.getVolume(db));
    const made = replicaOf(await clone());
    expect(made?.directory).toMatch(new RegExp(`^${service.directory}/pool/replicas/`));
    expect([made?.volumeId, made?.replicaId]).not.toContain(parent?.volumeId);
  });

  it('takes a larger size and another cache mode', async () => {
    const made = await clone({ size: '2GiB', cacheMode: 'none' });
    expect(made).toMatchObject({ size: 2 * gibibyte, cacheMode: 'none' });
    expect(replicaOf(made)?.sizeBytes).toBe(2 * gibibyte);
  });

  it("has the snapshot's size, whatever its parent has grown to since", async () => {
    await service.client.resizeVolume({ ...db, body: { size: '3GiB' } });
    expect(await clone()).toMatchObject({ size: gibibyte });
  });

  it.each([
    [{ size: gibibyte - 4096 }, 400, 'invalid-request', 'size'],
    [{ size: 'much' }, 400, 'invalid-request', 'size'],
    [{ blockSize: 4096 }, 400, 'invalid-request', 'blockSize'],
    [{ source: { ...source, snapshot: 'two' } }, 404, 'snapshot-not-found', 'source'],
    [{ source: { ...source, volume: 'nobody' } }, 404, 'volume-not-found', undefined],
    [{ name: 'db' }, 409, 'volume-exists', 'name'],
  ])('refuses %j', async (changes, status, code, field) => {
    const answer = await service.ask('POST', '/v1/volumes', { name: 'copy', source, ...changes });
    expect([answer.status, answer.body.code, answer.body.errors?.[0]?.field]).toEqual([status, code, field]);
    expect((await service.client.listVolumes()).volumes.map(({ name }) => name)).toEqual(['db']);
  });

  it('works while the parent is attached, and while it is not', async () => {
    await clone();
    await service.client.attachVolume(db);
    await clone({ name: 'another' });
    expect(await service.client.getVolume(db)).toMatchObject({ state: 'attached' });
  });

  it('takes everything back when the data plane cannot', async () => {
    service.engine.failNext('cloneSnapshot', new CairnError('clone-other-file-system', 'Elsewhere. Copy it.'));
    expect((await service.ask('POST', '/v1/volumes', { name: 'copy', source })).body.code).toBe(
      'clone-other-file-system',
    );
    expect((await service.client.listVolumes()).volumes).toHaveLength(1);
    await clone();
  });

  it('gives the clone none of the snapshots of its parent', async () => {
    const made = await clone();
    const [inherited] = replicaOf(made)?.layers ?? [];
    Object.assign(inherited ?? {}, { removed: true });
    expect(made.snapshotCount).toBe(0);
    expect((await service.client.listSnapshots(copy)).snapshots).toEqual([]);
  });

  it('leaves a clone that outlives its parent', async () => {
    await clone();
    await service.client.deleteVolume(db);
    expect(await service.client.attachVolume(copy)).toMatchObject({
      state: 'attached',
      source: { ...source, linked: true },
    });
  });
});

describe('limiting', () => {
  const none = { iops: null, iopsBurst: null, bandwidth: null, bandwidthBurst: null, burstSeconds: null };
  const limit = (body: object) => service.client.limitVolume({ ...db, body });
  const enforced = () => service.dataPlane.open.get('db')?.spec.limits;

  it('holds at once for a volume that is attached, and is shown', async () => {
    await service.client.attachVolume(db);
    expect((await service.client.getVolume(db)).limits).toEqual(none);
    const { status, body } = await service.ask('PATCH', '/v1/volumes/db/limits', { iops: 500, bandwidth: '100MiB' });
    const limits = { ...none, iops: 500, bandwidth: 100 * 2 ** 20 };
    expect([status, body]).toMatchObject([200, { limits, state: 'attached' }]);
    expect(new Validator(Volume).errorsIn(body, 'body')).toEqual([]);
    expect(enforced()).toEqual(limits);
    const { events } = await service.client.listEvents({ query: { volume: 'db' } });
    expect(events.at(-1)).toMatchObject({
      kind: 'volume-limited',
      message: 'Volume db is limited to 500 IOPS, 100MiB/s.',
    });
  });

  it('holds for a volume that is detached from its next attachment on', async () => {
    await limit({ iops: 500 });
    expect(enforced()).toBeUndefined();
    await service.client.attachVolume(db);
    expect(enforced()).toEqual({ ...none, iops: 500 });
  });

  it('is remembered by the next service, which puts right what was set otherwise', async () => {
    await service.client.attachVolume(db);
    await limit({ iops: 500 });
    const open = service.dataPlane.open.get('db');
    if (open) open.spec = { ...open.spec, limits: none };
    await service.restart();
    expect((await service.client.getVolume(db)).limits).toEqual({ ...none, iops: 500 });
    expect(enforced()).toEqual({ ...none, iops: 500 });
  });

  it('holds again when the data plane has died', async () => {
    await service.client.attachVolume(db);
    await limit({ iops: 500 });
    service.engine.kill();
    service.engine.restart();
    await eventually(async () => enforced()).toEqual({ ...none, iops: 500 });
  });

  it('changes what is named and nothing else', async () => {
    await limit({ iops: 500, iopsBurst: 2000, bandwidth: 8192 });
    expect((await limit({ iops: 600 })).limits).toEqual({
      iops: 600,
      iopsBurst: 2000,
      bandwidth: 8192,
      bandwidthBurst: null,
      burstSeconds: 60,
    });
    expect((await limit({ burstSeconds: 5 })).limits).toMatchObject({ iopsBurst: 2000, burstSeconds: 5 });
    expect((await limit({})).limits).toMatchObject({ iops: 600, burstSeconds: 5 });
  });

  it('takes a burst away with its limit, and its seconds with the last burst', async () => {
    await limit({ iops: 500, iopsBurst: 2000, bandwidth: 8192, bandwidthBurst: '1MiB', burstSeconds: 5 });
    expect((await limit({ iops: null })).limits).toEqual({
      ...none,
      bandwidth: 8192,
      bandwidthBurst: 2 ** 20,
      burstSeconds: 5,
    });
    expect((await limit({ bandwidthBurst: null })).limits).toEqual({ ...none, bandwidth: 8192 });
    expect((await limit({ bandwidth: null })).limits).toEqual(none);
  });

  it.each([
    [{ iops: 0 }, 'iops'],
    [{ iops: 1.5 }, 'iops'],
    [{ iops: 1_000_000_001 }, 'iops'],
    [{ iopsBurst: 100 }, 'iopsBurst'],
    [{ iops: 100, iopsBurst: 100 }, 'iopsBurst'],
    [{ bandwidth: 4095 }, 'bandwidth'],
    [{ bandwidth: '2TiB' }, 'bandwidth'],
    [{ bandwidth: 'fast' }, 'bandwidth'],
    [{ bandwidth: 8192, bandwidthBurst: 8192 }, 'bandwidthBurst'],
    [{ bandwidthBurst: 8192 }, 'bandwidthBurst'],
    [{ iops: 100, burstSeconds: 5 }, 'burstSeconds'],
    [{ iops: 100, iopsBurst: 200, burstSeconds: 3601 }, 'burstSeconds'],
    [{ latency: 5 }, 'latency'],
  ])('refuses %j', async (change, field) => {
    const { status, body } = await service.ask('PATCH', '/v1/volumes/db/limits', change);
    expect([status, body.code, body.errors?.[0]?.field]).toEqual([400, 'invalid-request', field]);
    expect((await service.client.getVolume(db)).limits).toEqual(none);
  });

  it('says what to do about a burst without a limit', async () => {
    const { body } = await service.ask('PATCH', '/v1/volumes/db/limits', { iopsBurst: 100 });
    expect(body.detail).toBe('iopsBurst: a burst exceeds a limit, and iops is none. Set iops too.');
  });

  it('takes the edges of what is possible', async () => {
    const edges = { iops: 1, iopsBurst: 1_000_000_000, bandwidth: 4096, bandwidthBurst: '1TiB', burstSeconds: 3600 };
    expect((await limit(edges)).limits).toEqual({ ...edges, bandwidthBurst: 2 ** 40 });
  });

  it('leaves the limits as they were when the data plane cannot', async () => {
    await service.client.attachVolume(db);
    service.engine.failNext('setLimits', new CairnError('data-plane-unavailable', 'Gone. Wait.'));
    expect((await service.ask('PATCH', '/v1/volumes/db/limits', { iops: 5 })).body.code).toBe('data-plane-unavailable');
    expect((await service.client.getVolume(db)).limits).toEqual(none);
  });

  it('is part of creating a volume, and a clone has the limits of its parent but those it asks for', async () => {
    await limit({ iops: 500, bandwidth: '1MiB' });
    expect((await clone()).limits).toEqual({ ...none, iops: 500, bandwidth: 2 ** 20 });
    const free = await clone({ name: 'free', limits: { iops: null, bandwidth: '2MiB' } });
    expect(free.limits).toEqual({ ...none, bandwidth: 2 ** 21 });
    const made = await service.client.createVolume({ body: { name: 'made', size: 4096, limits: { iops: 7 } } });
    expect(made.limits).toEqual({ ...none, iops: 7 });
    const refused = await service.ask('POST', '/v1/volumes', { name: 'x', size: 4096, limits: { iopsBurst: 7 } });
    expect([refused.status, refused.body.errors?.[0]?.field]).toEqual([400, 'limits.iopsBurst']);
  });
});

describe('flattening', () => {
  it('shows its progress until it is done, and says then that nothing is shared', async () => {
    const { id } = await clone();
    const { status, body } = await service.ask('POST', '/v1/volumes/copy/flatten');
    expect([status, body]).toMatchObject([
      200,
      { flatten: { progress: 0.25, problem: null }, source: { linked: true } },
    ]);
    service.engine.finishFlatten(id);
    service.engine.emit({ kind: 'flatten-finished', volume: 'copy', message: 'Volume copy is flattened.' });
    await eventually(() => service.client.getVolume(copy)).toMatchObject({
      flatten: null,
      source: { ...source, linked: false },
    });
    expect(await kinds('copy')).toEqual(['volume-created', 'flatten-started', 'flatten-finished']);
  });

  it('is gone on with by the next service, which finds its end too', async () => {
    const { id } = await clone();
    await service.client.flattenVolume(copy);
    await service.restart();
    expect(service.engine.calls).toContain('flatten copy');
    service.engine.finishFlatten(id);
    await service.restart();
    expect(await service.client.getVolume(copy)).toMatchObject({ flatten: null, source: { linked: false } });
    await service.restart();
    expect(service.engine.calls).not.toContain('flatten copy');
  });

  it('of what is flattened already changes nothing', async () => {
    const { id } = await clone();
    await service.client.flattenVolume(copy);
    service.engine.finishFlatten(id);
    await service.client.flattenVolume(copy);
    const calls = service.engine.calls.length;
    expect(await service.client.flattenVolume(copy)).toMatchObject({ flatten: null, source: { linked: false } });
    expect(service.engine.calls.slice(calls)).not.toContain('flatten copy');
  });

  it('is refused for a volume that is no clone', async () => {
    const { status, body } = await service.ask('POST', '/v1/volumes/db/flatten');
    expect([status, body.code]).toEqual([409, 'volume-no-clone']);
  });

  it('that cannot begin is not begun later', async () => {
    await clone();
    service.engine.failNext('flatten', new CairnError('no-space', 'Full. Free some space.'));
    expect((await service.ask('POST', '/v1/volumes/copy/flatten')).body.code).toBe('no-space');
    expect(await service.client.getVolume(copy)).toMatchObject({ flatten: null, source: { linked: true } });
  });
});

describe('growing', () => {
  it.each([true, false])('changes the size of a volume, attached: %s', async (isAttached) => {
    if (isAttached) await service.client.attachVolume(db);
    const { status, body } = await service.ask('POST', '/v1/volumes/db/resize', { size: '2GiB' });
    expect([status, body]).toMatchObject([200, { size: 2 * gibibyte, state: isAttached ? 'attached' : 'detached' }]);
    expect(replicaOf(await service.client.getVolume(db))?.sizeBytes).toBe(2 * gibibyte);
    expect(await kinds('db')).toContain('volume-resized');
  });

  it.each([
    [gibibyte, /has 1GiB \(1073741824 bytes\) already\. Choose a larger size/],
    [gibibyte - 4096, /and cannot shrink\. Choose a larger size/],
    [gibibyte + 1, /is not possible: choose a multiple of 4096/],
    ['65TiB', /at most|is not possible/],
    ['big', /must be a whole number of bytes/],
  ])('refuses the size %j', async (size, message) => {
    const { status, body } = await service.ask('POST', '/v1/volumes/db/resize', { size });
    expect([status, body.code, body.errors?.[0]?.field]).toEqual([400, 'invalid-request', 'size']);
    expect(body.detail).toMatch(message);
    expect(await service.client.getVolume(db)).toMatchObject({ size: gibibyte });
  });

  it('leaves the size as it was when the data plane cannot', async () => {
    service.engine.failNext('resize', new CairnError('no-space', 'Full. Free some space.'));
    expect((await service.ask('POST', '/v1/volumes/db/resize', { size: '2GiB' })).body.code).toBe('no-space');
    expect(await service.client.getVolume(db)).toMatchObject({ size: gibibyte, state: 'detached' });
  });

  it('that a crash has interrupted is finished for a volume that is attached', async () => {
    const { id } = await service.client.attachVolume(db);
    await service.client.resizeVolume({ ...db, body: { size: '2GiB' } });
    const replica = replicaOf(await service.client.getVolume(db));
    Object.assign(replica ?? {}, { sizeBytes: gibibyte });
    await service.restart();
    expect(replica).toMatchObject({ volumeId: id, sizeBytes: 2 * gibibyte });
  });
});

describe('scrubbing', () => {
  const findings = ['block 7 of snapshot one is damaged'];
  const result = { blocksChecked: 10, blocksDamaged: 1, findings };

  it('shows its progress, and what it found once it is done', async () => {
    const { status, body } = await service.ask('POST', '/v1/volumes/db/scrub');
    expect([status, body]).toMatchObject([200, { scrub: { state: 'running', progress: 0.5, ended: null } }]);
    service.engine.finishScrub('db', result);
    await eventually(async () => (await service.client.getVolume(db)).scrub?.ended).toMatch(/^\d{4}-/);
    expect((await service.client.getVolume(db)).scrub).toMatchObject({ ...result, state: 'finished', progress: 1 });
    expect(await kinds('db')).toEqual(expect.arrayContaining(['scrub-started', 'scrub-finished']));
  });

  it('is remembered by the next service', async () => {
    await service.client.scrubVolume(db);
    service.engine.finishScrub('db', result);
    await eventually(async () => (await service.client.getVolume(db)).scrub?.ended).toMatch(/^\d{4}-/);
    const before = await service.client.getVolume(db);
    service.dataPlane.closed.clear();
    await service.restart();
    expect((await service.client.getVolume(db)).scrub).toEqual(before.scrub);
  });

  it('begun again shows nothing of the last one', async () => {
    await service.client.scrubVolume(db);
    service.engine.finishScrub('db', result);
    await eventually(async () => (await service.client.getVolume(db)).scrub?.ended).toMatch(/^\d{4}-/);
    expect((await service.client.scrubVolume(db)).scrub).toMatchObject({
      state: 'running',
      blocksDamaged: 0,
      ended: null,
    });
  });

  it('is refused while one runs', async () => {
    await service.client.scrubVolume(db);
    const { status, body } = await service.ask('POST', '/v1/volumes/db/scrub');
    expect([status, body.code]).toEqual([409, 'scrub-running']);
  });

  it('counts in the metrics', async () => {
    await service.client.scrubVolume(db);
    service.engine.finishScrub('db', result);
    service.engine.emit({ kind: 'no-space', volume: 'db', message: 'The pool is full.' });
    const metrics = async () => (await fetch(`${service.url}/metrics`)).text();
    await eventually(metrics).toContain('cairn_volume_damaged_blocks{volume="db"} 1');
    const text = await metrics();
    expect(text).toContain('cairn_events_total{kind="scrub-finished"} 1');
    expect(text).toContain('cairn_events_total{kind="no-space"} 1');
    expect(text).toContain('cairn_events_total{kind="repaired"} 0');
  });
});

describe('reading certificates anew', () => {
  it('is asked of the data plane once they are found in order', async () => {
    expect((await service.ask('POST', '/v1/node/reload-tls')).status).toBe(204);
    expect(service.engine.calls).toContain('reloadTls');
  });

  it('is refused, and nothing changed, when they are not', async () => {
    const refused = await RunningService.start({
      checkTls: () => {
        throw new CairnError('invalid-config', 'server-cert.pem expired. Renew it.');
      },
    });
    const { status, body } = await refused.ask('POST', '/v1/node/reload-tls');
    expect([status, body.code]).toEqual([400, 'invalid-config']);
    expect(refused.engine.calls).not.toContain('reloadTls');
    await refused.end();
  });
});

describe('encrypting anew', () => {
  const safe = { params: { name: 'safe' } };
  const keyOf = (volume: Volume) => replicaOf(volume)?.volumeKey;
  beforeEach(() => service.client.createVolume({ body: { name: 'safe', size: '1GiB', encryption: {} } }));

  it('shows its progress until it is done', async () => {
    const { status, body } = await service.ask('POST', '/v1/volumes/safe/reencrypt');
    expect([status, body]).toMatchObject([200, { encryption: { reencryption: { progress: 0.25, problem: null } } }]);
    expect(new Validator(Volume).errorsIn(body, 'body')).toEqual([]);
    service.engine.finishReencryption('safe');
    await eventually(() => service.client.getVolume(safe)).toMatchObject({ encryption: { reencryption: null } });
    expect(await kinds('safe')).toEqual(['volume-created', 'reencryption-started', 'reencryption-finished']);
  });

  it('is gone on with by the next service, and done once, whoever asks again meanwhile', async () => {
    const volume = await service.client.reencryptVolume(safe);
    const key = keyOf(volume);
    await service.client.reencryptVolume(safe);
    await service.restart();
    expect(service.engine.calls).toContain('reencrypt safe');
    expect(keyOf(volume)).toBe(key);
    service.engine.finishReencryption('nobody hears of it');
    await service.restart();
    expect(await service.client.getVolume(safe)).toMatchObject({ encryption: { reencryption: null } });
    expect(keyOf(volume)).toBe(key);
    await service.client.reencryptVolume(safe);
    expect(keyOf(volume)).not.toBe(key);
  });

  it('that cannot begin is not begun later', async () => {
    service.engine.failNext('reencrypt safe', new CairnError('key-unavailable', 'The provider sleeps.'));
    const { status, body } = await service.ask('POST', '/v1/volumes/safe/reencrypt');
    expect([status, body.code]).toEqual([503, 'key-unavailable']);
    await service.restart();
    expect(service.engine.calls).not.toContain('reencrypt safe');
  });

  it('is refused for a volume that is not encrypted, and while clients have the ciphertext', async () => {
    const plain = await service.ask('POST', '/v1/volumes/db/reencrypt');
    expect([plain.status, plain.body.code]).toEqual([409, 'volume-not-encrypted']);
    await service.client.attachVolume({ ...safe, body: { raw: true } });
    const raw = await service.ask('POST', '/v1/volumes/safe/reencrypt');
    expect([raw.status, raw.body.code]).toEqual([409, 'volume-attached']);
  });

  it('does not go on in a clone that is made meanwhile', async () => {
    await service.client.createSnapshot({ ...safe, body: { name: 'one' } });
    await service.client.reencryptVolume(safe);
    const made = await service.client.createVolume({
      body: { name: 'copy', source: { volume: 'safe', snapshot: 'one' } },
    });
    expect(made).toMatchObject({ encryption: { key: 'safe', reencryption: null } });
  });
});

describe('attaching raw or read-only', () => {
  const safe = { params: { name: 'safe' } };
  beforeEach(() => service.client.createVolume({ body: { name: 'safe', size: '1GiB', encryption: {} } }));
  const specOf = (name: string) => service.dataPlane.open.get(name)?.spec;

  it('serves so, and after a restart too', async () => {
    expect(await service.client.attachVolume({ ...safe, body: { raw: true, readOnly: true } })).toMatchObject({
      raw: true,
      readOnly: true,
    });
    await service.restart();
    expect(specOf('safe')).toMatchObject({ raw: true, readOnly: true });
    await service.client.detachVolume({ ...safe, body: {} });
    expect(await service.client.attachVolume({ ...safe, body: {} })).toMatchObject({ raw: false, readOnly: false });
    expect(specOf('safe')).toMatchObject({ raw: false, readOnly: false });
  });

  it.each([
    ['db', { raw: true }, 409, 'volume-not-encrypted'],
    ['db', { frontend: 'none', readOnly: true }, 400, 'invalid-request'],
    ['safe', { frontend: 'none', raw: true }, 400, 'invalid-request'],
  ])('refuses %s with %j', async (name, body, status, code) => {
    const answer = await service.ask('POST', `/v1/volumes/${name}/attach`, body);
    expect([answer.status, answer.body.code]).toEqual([status, code]);
    expect((await service.client.getVolume({ params: { name } })).frontend).toBeNull();
  });

  it('is not changed while it is attached, nor while the volume key changes', async () => {
    await service.client.attachVolume({ ...safe, body: { readOnly: true } });
    const other = await service.ask('POST', '/v1/volumes/safe/attach', {});
    expect([other.status, other.body.code]).toEqual([409, 'volume-attached']);
    expect(other.body.detail).toContain('nbd, read-only');
    await service.client.detachVolume({ ...safe, body: {} });
    await service.client.reencryptVolume(safe);
    const raw = await service.ask('POST', '/v1/volumes/safe/attach', { raw: true });
    expect([raw.status, raw.body.code]).toEqual([409, 'reencryption-running']);
  });
});
