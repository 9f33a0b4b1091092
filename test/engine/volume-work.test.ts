/** Clones, growth, flattenings and scrubs through data-plane processes, of volumes attached and detached. */
import { randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { noLimits } from '../../src/engine/native.js';
import type { LocalNodeEngine } from '../../src/engine/local-node-engine.js';
import type { Isolation, VolumeSpec } from '../../src/engine/node-engine.js';
import { EngineFixture, fakeNativeEnvironment, until } from '../support/engine-fixture.js';

const timeout = 60_000;
let fixture: EngineFixture;

beforeEach(() => {
  fixture = new EngineFixture();
});
afterEach(() => fixture.remove(), timeout);

/** The volume `data` with snapshot s1, and the clone `copy` of that. */
async function cloned(engine: LocalNodeEngine): Promise<{ data: VolumeSpec; copy: VolumeSpec }> {
  const data = await fixture.createVolume(engine, 'data');
  await engine.createSnapshot(data, 's1', 'one');
  const copy = specOfClone();
  await engine.cloneSnapshot(data, targetOf(copy));
  return { data, copy };
}

function specOfClone(): VolumeSpec {
  const volumeId = randomUUID();
  const directory = join(fixture.directory, 'pool', 'replicas', volumeId, randomUUID());
  return {
    name: 'copy',
    volumeId,
    directory,
    cacheMode: 'none',
    sizeBytes: 1024 * 1024,
    limits: noLimits,
    description: '',
    encryption: null,
    raw: false,
    readOnly: false,
    access: { initiators: [], chap: null, mutual: null },
  };
}

function targetOf({ directory, volumeId }: VolumeSpec) {
  return { snapshotId: 's1', directory, volumeId, replicaId: 'replica' };
}

/** With work in the background that takes so long. */
function startWorking(isolation: Isolation, workMs: string): Promise<LocalNodeEngine> {
  return fixture.start(isolation, { environment: fakeNativeEnvironment({ CAIRN_FAKE_MERGE_MS: workMs }) });
}

function openVolumes(engine: LocalNodeEngine): string[] {
  return engine.processes().flatMap(({ volumes }) => volumes);
}

describe.each<Isolation>(['node', 'volume'])('isolation %s', { timeout }, (isolation) => {
  it('a clone has the layers of its snapshot, shared, and may be asked for twice', async () => {
    const engine = await fixture.start(isolation);
    const { data, copy } = await cloned(engine);
    await engine.cloneSnapshot(data, targetOf(copy));
    expect((await engine.layers(copy)).map(({ id, name, shared }) => [id, name, shared])).toEqual([
      ['s1', 'one', true],
      ['head-0', null, false],
    ]);
    expect(openVolumes(engine)).toEqual([]);
  });

  it("a clone does not take another volume's place", async () => {
    const engine = await fixture.start(isolation);
    const { data, copy } = await cloned(engine);
    const taken = { ...targetOf(copy), volumeId: randomUUID() };
    await expect(engine.cloneSnapshot(data, taken)).rejects.toMatchObject({ code: 'replica-exists' });
    const unknown = { ...targetOf(specOfClone()), snapshotId: 'nobody' };
    await expect(engine.cloneSnapshot(data, unknown)).rejects.toMatchObject({ code: 'snapshot-not-found' });
  });

  it('a detached volume is held open while it is flattened, and closed behind that', async () => {
    const engine = await startWorking(isolation, '300');
    const { copy } = await cloned(engine);
    expect(await engine.flatten(copy)).toBe(true);
    expect(openVolumes(engine)).toEqual(['copy']);
    expect(await engine.running('copy')).toBeNull();
    expect(await engine.seen('copy')).toMatchObject({ openness: 'working', flatten: { progress: 0.5 } });
    await until(() => openVolumes(engine).length === 0);
    expect(fixture.events).toContainEqual(expect.objectContaining({ kind: 'flatten-finished', volume: 'copy' }));
    expect(await engine.seen('copy')).toMatchObject({ openness: 'closed', flatten: null });
    expect(await engine.flatten(copy)).toBe(false);
  });

  it('a scrub of a detached volume is seen to its end, and what it found after that', async () => {
    const engine = await startWorking(isolation, '300');
    const data = await fixture.createVolume(engine, 'data');
    await engine.createSnapshot(data, 's1', 'one');
    writeFileSync(join(data.directory, 'damaged'), 's1\n');
    await engine.startScrub(data);
    expect(await engine.seen('data')).toMatchObject({ openness: 'working', scrub: { state: 'running' } });
    await expect(engine.startScrub(data)).rejects.toMatchObject({ code: 'scrub-running' });
    await until(() => openVolumes(engine).length === 0);
    const scrub = { state: 'finished', blocksDamaged: 1, findings: ['layer s1 is damaged'] };
    expect(await engine.seen('data')).toMatchObject({ openness: 'closed', scrub });
    expect((await engine.allSeen()).map(({ name }) => name)).toEqual(['data']);
  });

  it('a volume that is attached is scrubbed where it is', async () => {
    const engine = await startWorking(isolation, '300');
    const data = await fixture.createVolume(engine, 'data');
    await engine.attach(data, 'nbd');
    await engine.startScrub(data);
    await until(() => fixture.events.some(({ kind }) => kind === 'scrub-finished'));
    expect(await engine.seen('data')).toMatchObject({ openness: 'attached', scrub: { state: 'finished' } });
  });

  it.each([true, false])('a volume grows, attached: %s, and stays so when its process dies', async (isAttached) => {
    const engine = await fixture.start(isolation);
    const data = await fixture.createVolume(engine, 'data');
    if (isAttached) await engine.attach(data, 'nbd');
    const grown = { ...data, sizeBytes: 2 * data.sizeBytes };
    await engine.resize(grown);
    await engine.resize(grown);
    expect(await engine.seen('data')).toMatchObject({ sizeBytes: grown.sizeBytes });
    await expect(engine.resize(data)).rejects.toMatchObject({ code: 'invalid-request' });
    const pids = engine.processes().map(({ pid }) => pid);
    for (const pid of pids) process.kill(pid, 'SIGKILL');
    // Until a death is noticed, a call may still go to the one that died.
    await until(() => fixture.events.filter(({ kind }) => kind === 'process-died').length === pids.length);
    await engine.attach(grown, 'nbd');
    expect(await engine.running('data')).toMatchObject({ sizeBytes: grown.sizeBytes });
  });

  it('limits hold at once, for whoever finds the process running, and when it has died', async () => {
    const engine = await fixture.start(isolation);
    const data = await fixture.createVolume(engine, 'data');
    const limits = { ...noLimits, iops: 500, iopsBurst: 2000, burstSeconds: 60 };
    await engine.setLimits({ ...data, limits }); // detached: nothing to do
    await engine.attach(data, 'nbd');
    expect(await engine.running('data')).toMatchObject({ limits: noLimits });
    await engine.setLimits({ ...data, limits });
    expect(await engine.running('data')).toMatchObject({ limits });
    await engine.release();

    const next = await fixture.start(isolation);
    expect(await next.running('data')).toMatchObject({ limits });
    const holder = next.processes().find(({ volumes }) => volumes.includes('data'));
    process.kill(holder?.pid ?? 0, 'SIGKILL');
    await until(() => fixture.events.some(({ kind }) => kind === 'process-died'));
    await until(() => next.processes().some(({ pid, volumes }) => pid !== holder?.pid && volumes.includes('data')));
    expect(await next.running('data')).toMatchObject({ limits });
  });

  it('attaching again with other limits sets them', async () => {
    const engine = await fixture.start(isolation);
    const data = await fixture.createVolume(engine, 'data');
    await engine.attach({ ...data, limits: { ...noLimits, bandwidth: 4096 } }, 'nbd');
    expect(await engine.running('data')).toMatchObject({ limits: { ...noLimits, bandwidth: 4096 } });
    await engine.attach(data, 'nbd');
    expect(await engine.running('data')).toMatchObject({ limits: noLimits });
  });

  it('a volume whose growth was cut short has its size when it is opened', async () => {
    const engine = await fixture.start(isolation);
    const data = await fixture.createVolume(engine, 'data');
    await engine.attach({ ...data, sizeBytes: 2 * data.sizeBytes }, 'nbd');
    expect(await engine.running('data')).toMatchObject({ sizeBytes: 2 * data.sizeBytes });
  });

  it('keys are read anew by every process', async () => {
    const tls = { mode: 'require', certificateDirectory: '/tls', verifyPeer: true, pskFile: null } as const;
    const engine = await fixture.start(isolation, { tls });
    const data = await fixture.createVolume(engine, 'data');
    expect((await engine.attach(data, 'nbd')).uris).toEqual([
      expect.stringMatching(/^nbds:\/\/127\.0\.0\.1:\d+\/data$/),
      expect.stringMatching(/^nbds\+unix:\/\/\/data\?socket=/),
    ]);
    await engine.reloadTls();
  });
});
