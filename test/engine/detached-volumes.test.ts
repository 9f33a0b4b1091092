/** Operations on volumes that nobody attached, and what becomes of clients and merges when a volume is detached. */
import { existsSync } from 'node:fs';
import { createConnection, type Socket } from 'node:net';
import { once } from 'node:events';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { LocalNodeEngine } from '../../src/engine/local-node-engine.js';
import type { Isolation } from '../../src/engine/node-engine.js';
import { EngineFixture, until } from '../support/engine-fixture.js';

const timeout = 60_000;
let fixture: EngineFixture;

beforeEach(() => {
  fixture = new EngineFixture();
});
afterEach(() => fixture.remove(), timeout);

describe.each<Isolation>(['node', 'volume'])('a detached volume (isolation %s)', { timeout }, (isolation) => {
  it('is opened for an operation and closed behind it', async () => {
    const engine = await fixture.start(isolation);
    const spec = await fixture.createVolume(engine, 'data');
    await engine.createSnapshot(spec, 's1', 'one');
    expect((await engine.layers(spec)).map(({ id }) => id)).toEqual(['s1', 'head-1']);
    await engine.revertSnapshot(spec, 's1');
    expect(await engine.running('data')).toBeNull();
    expect(await engine.allRunning()).toEqual([]);
    expect(openVolumes(engine)).toEqual([]);
  });

  it('stays open until its merge has finished, and no longer', async () => {
    const engine = await startMerging(isolation, '300');
    const spec = await fixture.createVolume(engine, 'data');
    await engine.createSnapshot(spec, 's1', 'one');
    await engine.deleteSnapshot(spec, 's1');
    expect(openVolumes(engine)).toEqual(['data']);
    expect(await engine.running('data')).toBeNull();
    await until(() => fixture.events.some(({ kind }) => kind === 'merge-finished'));
    await until(() => openVolumes(engine).length === 0);
  });

  it('can be attached while it merges, with another cache mode too', async () => {
    const engine = await startMerging(isolation, '60000');
    const spec = await fixture.createVolume(engine, 'data');
    await engine.createSnapshot(spec, 's1', 'one');
    await engine.deleteSnapshot(spec, 's1');
    await engine.attach({ ...spec, cacheMode: 'writeback' }, 'nbd');
    expect(await engine.running('data')).toMatchObject({ frontend: 'nbd' });
  });

  it('can be deleted while it merges', async () => {
    const engine = await startMerging(isolation, '60000');
    const spec = await fixture.createVolume(engine, 'data');
    await engine.createSnapshot(spec, 's1', 'one');
    await engine.deleteSnapshot(spec, 's1');
    await engine.deleteReplica(spec.directory);
    expect(existsSync(spec.directory)).toBe(false);
    expect(openVolumes(engine)).toEqual([]);
  });
});

describe.each<Isolation>(['node', 'volume'])('detaching (isolation %s)', { timeout }, (isolation) => {
  it('is refused while clients are connected, unless forced', async () => {
    const engine = await fixture.start(isolation);
    const spec = await fixture.createVolume(engine, 'data');
    const [uri = ''] = (await engine.attach(spec, 'nbd')).uris;
    const client = await connected(uri);
    await expect(engine.detach('data', false)).rejects.toMatchObject({ code: 'volume-in-use' });
    expect(await engine.running('data')).toMatchObject({ clients: 1, frontend: 'nbd' });
    const closed = once(client, 'close');
    await engine.detach('data', true);
    await closed;
    expect(await engine.running('data')).toBeNull();
  });

  it('is needed before the replica can be deleted', async () => {
    const engine = await fixture.start(isolation);
    const spec = await fixture.createVolume(engine, 'data');
    await engine.attach(spec, 'none');
    await expect(engine.deleteReplica(spec.directory)).rejects.toMatchObject({ code: 'volume-attached' });
  });

  it('keeps the volume open while it merges', async () => {
    const engine = await startMerging(isolation, '300');
    const spec = await fixture.createVolume(engine, 'data');
    await engine.attach(spec, 'nbd');
    await engine.createSnapshot(spec, 's1', 'one');
    await engine.deleteSnapshot(spec, 's1');
    await engine.detach('data', false);
    expect(await engine.running('data')).toBeNull();
    expect(openVolumes(engine)).toEqual(['data']);
    await until(() => openVolumes(engine).length === 0);
  });

  it('goes from clients to maintenance and back without closing the volume', async () => {
    const engine = await fixture.start(isolation);
    const spec = await fixture.createVolume(engine, 'data');
    await engine.attach(spec, 'nbd');
    expect(await engine.attach(spec, 'none')).toEqual({ uris: [] });
    expect(await engine.running('data')).toMatchObject({ frontend: 'none' });
    expect((await engine.attach(spec, 'nbd')).uris).toHaveLength(2);
  });
});

function startMerging(isolation: Isolation, mergeMs: string): Promise<LocalNodeEngine> {
  const environment = { ...fixture.options(isolation).environment, CAIRN_FAKE_MERGE_MS: mergeMs };
  return fixture.start(isolation, { environment });
}

/** Whoever opened them. */
function openVolumes(engine: LocalNodeEngine): string[] {
  return engine.processes().flatMap(({ volumes }) => volumes);
}

async function connected(uri: string): Promise<Socket> {
  const { hostname, port, pathname } = new URL(uri);
  const socket = createConnection({ host: hostname, port: Number(port) });
  socket.on('error', () => {});
  socket.write(`${pathname.slice(1)}\n`);
  await once(socket, 'data');
  return socket;
}
