import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { LocalNodeEngine } from '../../src/engine/local-node-engine.js';
import type { Isolation } from '../../src/engine/node-engine.js';
import { ask, askAt, EngineFixture, isAlive, until } from '../support/engine-fixture.js';

const timeout = 60_000;
/** On an idle machine it takes less than half a second. */
const loadedMachineMs = 5_000;
let fixture: EngineFixture;

beforeEach(() => {
  fixture = new EngineFixture();
});
afterEach(() => fixture.remove(), timeout);

describe.each<Isolation>(['node', 'volume'])('isolation %s', { timeout }, (isolation) => {
  it('serves an attached volume at each of its URIs and lets it go when it is detached', async () => {
    const engine = await fixture.start(isolation);
    const spec = await fixture.createVolume(engine, 'data');
    const { uris } = await engine.attach(spec, 'nbd');
    expect(uris[0]).toMatch(/^nbd:\/\/127\.0\.0\.1:\d+\/data$/);
    expect(uris[1]).toBe(`nbd+unix:///data?socket=${fixture.runDirectory}/nbd.sock`);
    expect(await ask(uris[0] ?? '')).toBe('serving data');
    expect(await askAt({ path: join(fixture.runDirectory, 'nbd.sock') }, 'data')).toBe('serving data');
    expect(await engine.running('data')).toMatchObject({ name: 'data', frontend: 'nbd', failure: null });

    await until(async () => (await engine.running('data'))?.clients === 0);
    await engine.detach('data', false);
    expect(await engine.running('data')).toBeNull();
    expect(await ask(uris[0] ?? '')).toBe('no data');
    expect(holders(engine)).toEqual([]);
  });

  it('repeats everything without harm', async () => {
    const engine = await fixture.start(isolation);
    const spec = await fixture.createVolume(engine, 'data');
    const replica = { ...spec, replicaId: 'ignored', sizeBytes: 1024 * 1024, blockSize: 4096 };
    await engine.createReplica(replica);
    expect(await engine.attach(spec, 'nbd')).toEqual(await engine.attach(spec, 'nbd'));
    await engine.createSnapshot(spec, 's1', 'one');
    await engine.createSnapshot(spec, 's1', 'one');
    await engine.deleteSnapshot(spec, 's1');
    await until(async () => (await engine.layers(spec)).length === 1);
    await engine.deleteSnapshot(spec, 's1');
    await engine.detach('data', false);
    await engine.detach('data', false);
    await engine.deleteReplica(spec.directory);
    await engine.deleteReplica(spec.directory);
    expect(existsSync(spec.directory)).toBe(false);
  });

  it('restarts a killed process at once, with its volumes at the same address', async () => {
    const engine = await fixture.start(isolation);
    const spec = await fixture.createVolume(engine, 'data');
    const [uri = ''] = (await engine.attach(spec, 'nbd')).uris;
    const holder = processOf(engine, 'data');
    const killed = performance.now();
    process.kill(holder.pid, 'SIGKILL');
    await until(() => fixture.events.some(({ kind }) => kind === 'process-died'));
    await until(() => ask(uri).then((answer) => answer === 'serving data', () => false)); // prettier-ignore
    const tookMs = performance.now() - killed;
    await until(() => fixture.events.some((event) => event.kind === 'process-started' && event.restarted));
    expect(processOf(engine, 'data')).toMatchObject({ id: holder.id });
    expect(processOf(engine, 'data').pid).not.toBe(holder.pid);
    expect(fixture.events).toContainEqual(expect.objectContaining({ kind: 'process-died', signal: 'SIGKILL' }));
    expect(await engine.attach(spec, 'nbd')).toMatchObject({ uris: expect.arrayContaining([uri]) as unknown });
    expect(tookMs).toBeLessThan(loadedMachineMs);
  });

  it('leaves processes serving when it is released, and the next engine finds them', async () => {
    const first = await fixture.start(isolation);
    const spec = await fixture.createVolume(first, 'data');
    const [uri = ''] = (await first.attach(spec, 'nbd')).uris;
    const before = pids(first);
    await first.release();
    expect(await ask(uri)).toBe('serving data');

    fixture.events.length = 0;
    const second = await fixture.start(isolation);
    expect(pids(second)).toEqual(before);
    expect(await second.running('data')).toMatchObject({ frontend: 'nbd' });
    expect(await second.attach(spec, 'nbd')).toMatchObject({ uris: expect.arrayContaining([uri]) as unknown });
    expect(fixture.events).toEqual([]);
  });

  it('ends every process cleanly at shutdown', async () => {
    const engine = await fixture.start(isolation);
    const spec = await fixture.createVolume(engine, 'data');
    await engine.attach(spec, 'nbd');
    await engine.shutdown();
    expect(fixture.livingPids()).toEqual([]);
    expect(readFileSync(join(spec.directory, 'volume.json'), 'utf8')).toContain('"clean":true');
    expect(existsSync(join(fixture.runDirectory, 'data-plane', 'node.sock'))).toBe(false);
  });
});

function processOf(engine: LocalNodeEngine, volume: string): { id: string; pid: number } {
  const found = engine.processes().find(({ volumes }) => volumes.includes(volume));
  if (!found) throw new Error(`no process holds ${volume}`);
  return found;
}

/** Processes that hold volumes. */
function holders(engine: LocalNodeEngine): string[] {
  return engine.processes().filter(({ volumes }) => volumes.length > 0).map(({ id }) => id); // prettier-ignore
}

function pids(engine: LocalNodeEngine): number[] {
  return engine.processes().map(({ pid }) => pid).filter(isAlive).toSorted((a, b) => a - b); // prettier-ignore
}
