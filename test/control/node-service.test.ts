/** The service as a whole: what monitoring sees, how it starts and how it ends. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Node } from '../../src/api/node-schemas.js';
import { EventList } from '../../src/api/schemas.js';
import { Validator } from '../../src/api/validation.js';
import { start } from '../../src/control/node-service.js';
import { CairnError } from '../../src/errors.js';
import { FakeNodeEngine } from '../support/fake-node-engine.js';
import { FakePoolDevices } from '../support/fake-pool-devices.js';
import { eventually, RunningService } from '../support/running-service.js';

let service: RunningService;
beforeEach(async () => {
  service = await RunningService.start();
});
afterEach(() => service.end());

const db = { params: { name: 'db' } };

async function attached(): Promise<void> {
  await service.client.createVolume({ body: { name: 'db', size: '1GiB' } });
  await service.client.attachVolume(db);
}

describe('the node', () => {
  it('shows its service, processes and pools', async () => {
    await attached();
    const node = await service.client.getNode();
    expect(new Validator(Node).errorsIn(node, 'body')).toEqual([]);
    expect(node).toMatchObject({ version: '0.1.0', isolation: 'node', pid: process.pid });
    expect(node.processes).toMatchObject([{ id: 'node', pid: 1000, volumes: ['db'] }]);
    expect(node.pools).toMatchObject([
      { directory: `${service.directory}/pool`, availableBytes: expect.any(Number) as number },
    ]);
  });
});

describe('events', () => {
  it('tell what happened, and follow what happens', async () => {
    await attached();
    const leaving = new AbortController();
    const followed = service.client.followEvents({ volume: 'db' }, leaving.signal);
    expect((await followed.next()).value).toMatchObject({ kind: 'volume-created', volume: 'db' });
    expect((await followed.next()).value).toMatchObject({ kind: 'volume-attached' });
    service.engine.emit({ kind: 'no-space', volume: 'db', message: 'The pool is full.' });
    expect((await followed.next()).value).toMatchObject({ kind: 'no-space', message: 'The pool is full.' });
    leaving.abort();
    await expect(followed.next()).rejects.toThrow();
    const list = await service.client.listEvents();
    expect(new Validator(EventList).errorsIn(list, 'body')).toEqual([]);
    expect(list.events.map(({ kind }) => kind)).toEqual([
      'process-started',
      'volume-created',
      'volume-attached',
      'no-space',
    ]);
  });
});

describe('metrics', () => {
  const metrics = async (): Promise<string> => (await fetch(`${service.url}/metrics`)).text();

  it('count what each attached volume does', async () => {
    await attached();
    await service.client.createVolume({ body: { name: 'idle', size: 4096 } });
    const text = await metrics();
    for (const line of [
      'cairn_info{version="0.1.0"} 1',
      'cairn_volume_reads_total{volume="db"} 1',
      'cairn_volume_written_bytes_total{volume="db"} 8192',
      'cairn_volume_errors_total{volume="db"} 6',
      'cairn_volume_throttled_total{volume="db"} 7',
      'cairn_volume_throttled_seconds_total{volume="db"} 8.5',
      'cairn_volume_size_bytes{volume="db"} 1073741824',
      'cairn_volume_allocated_bytes{volume="db"} 4096',
      'cairn_volume_attached{volume="db"} 1',
      'cairn_volume_attached{volume="idle"} 0',
      'cairn_volume_faulted{volume="db"} 0',
      'cairn_volume_clients{volume="idle"} 0',
      'cairn_data_plane_start_time_seconds{process="node"} 0',
    ])
      expect(text).toContain(`${line}\n`);
    expect(text).not.toContain('cairn_volume_reads_total{volume="idle"}');
    expect(text).toContain('process_resident_memory_bytes');
  });

  it('do not grow by being read, and forget deleted volumes', async () => {
    await attached();
    await metrics();
    expect(await metrics()).toContain('cairn_volume_reads_total{volume="db"} 1\n');
    await service.client.detachVolume(db);
    await service.client.deleteVolume(db);
    expect(await metrics()).not.toContain('volume="db"');
  });
});

describe('starting', () => {
  const options = () => ({
    dataDirectory: service.directory,
    pools: [`${service.directory}/pool`],
    rest: { host: '127.0.0.1', port: 0 },
    engine: new FakeNodeEngine(),
    poolDevices: new FakePoolDevices(),
    isolation: 'node' as const,
    version: '0.1.0',
    log: () => {},
  });

  it('is refused while another service has the records', async () => {
    await expect(start(options())).rejects.toMatchObject({ code: 'store-locked' });
  });

  it('begins nothing when the address is taken', async () => {
    const { port } = new URL(service.url);
    const own = { ...options(), dataDirectory: `${service.directory}/own` };
    const taken = { ...own, engine: new FakeNodeEngine(), rest: { host: '127.0.0.1', port: Number(port) } };
    await expect(start(taken)).rejects.toMatchObject({ code: 'address-in-use' });
    expect(taken.engine.calls).toEqual([]); // no data plane that would stay behind
    await (await start(own)).stop();
  });

  it('takes everything back when the engine cannot start', async () => {
    const own = { ...options(), dataDirectory: `${service.directory}/own` };
    own.engine.failNext('start', new CairnError('io-uring-unavailable', 'Enable it.'));
    await expect(start(own)).rejects.toMatchObject({ code: 'io-uring-unavailable' });
    await (await start(own)).stop();
  });

  it('says which pool it cannot use', async () => {
    const unusable = { ...options(), dataDirectory: `${service.directory}/own`, pools: ['/dev/null/pool'] };
    await expect(start(unusable)).rejects.toMatchObject({
      code: 'invalid-config',
      detail: expect.stringContaining('/dev/null/pool') as string,
    });
  });

  it('is not ready before every volume has had its turn', async () => {
    await attached();
    await service.stop(true);
    let goOn = (): void => {};
    const hold = new Promise<void>((resolve) => (goOn = resolve));
    const engine = new FakeNodeEngine(service.dataPlane);
    engine.before('attach', () => hold);
    const started = await start({ ...options(), engine, startWaitMs: 1 });
    const ready = async () => (await fetch(`http://127.0.0.1:${started.address.port}/readyz`)).status;
    expect(await ready()).toBe(503);
    goOn();
    await eventually(ready).toBe(200);
    await started.stop();
  });
});

describe('stopping', () => {
  it('lets the data plane serve on', async () => {
    await attached();
    await service.stop();
    expect(service.dataPlane.open.size).toBe(1);
    expect(service.engine.calls.at(-1)).toBe('release');
    await service.restart();
  });

  it('ends the data plane when told to', async () => {
    await attached();
    await service.stop(true);
    expect(service.engine.calls.at(-1)).toBe('shutdown');
    await service.restart();
  });

  it('answers what was asked before, and ends event streams', async () => {
    const followed = service.client.followEvents();
    await followed.next();
    let goOn = (): void => {};
    service.engine.before('createReplica', () => new Promise((resolve) => (goOn = resolve)));
    const created = service.client.createVolume({ body: { name: 'db', size: 4096 } });
    await eventually(() => service.engine.calls).toContain('createReplica');
    const stopped = service.stop();
    goOn();
    expect(await created).toMatchObject({ name: 'db' });
    expect((await followed.next()).done).toBe(true);
    await stopped;
    await service.restart();
  });

  it('can be asked for twice', async () => {
    await service.stop();
    await service.stop();
    await service.restart();
  });
});
