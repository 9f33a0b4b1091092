/** What is particular to one isolation, and what happens when the setting changes between two starts of the service. */
import { once } from 'node:events';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { LocalNodeEngine } from '../../src/engine/local-node-engine.js';
import { ask, askAt, EngineFixture, isAlive, until } from '../support/engine-fixture.js';

const timeout = 60_000;
let fixture: EngineFixture;

beforeEach(() => {
  fixture = new EngineFixture();
});
afterEach(() => fixture.remove(), timeout);

describe('isolation volume', { timeout }, () => {
  it('costs only the volume of the process that dies', async () => {
    const engine = await fixture.start('volume');
    const [one = ''] = await attachNew(engine, 'one');
    const [two = ''] = await attachNew(engine, 'two');
    const survivor = pidOf(engine, 'volume-two');
    process.kill(pidOf(engine, 'volume-one'), 'SIGKILL');
    expect(await ask(two)).toBe('serving two');
    await untilServed(one, 'one');
    expect(pidOf(engine, 'volume-two')).toBe(survivor);
  });

  it('restores the listeners and exports of a front that was killed', async () => {
    const engine = await fixture.start('volume');
    const [one = ''] = await attachNew(engine, 'one');
    const [two = ''] = await attachNew(engine, 'two');
    const holder = pidOf(engine, 'volume-one');
    process.kill(pidOf(engine, 'front'), 'SIGKILL');
    await until(() => fixture.events.some(({ kind }) => kind === 'process-died'));
    await untilServed(one, 'one');
    await untilServed(two, 'two');
    expect(pidOf(engine, 'volume-one')).toBe(holder);
  });

  it("ends a volume's process when the volume is detached", async () => {
    const engine = await fixture.start('volume');
    const spec = await fixture.createVolume(engine, 'data');
    await engine.attach(spec, 'none');
    const pid = pidOf(engine, 'volume-data');
    await engine.detach('data', false);
    expect(isAlive(pid)).toBe(false);
    expect(ids(engine)).toEqual(['front']);
  });

  it('leaves no process behind when a volume cannot be opened', async () => {
    const engine = await fixture.start('volume');
    const spec = await fixture.createVolume(engine, 'data');
    await engine.deleteReplica(spec.directory);
    await expect(engine.attach(spec, 'nbd')).rejects.toMatchObject({ code: 'replica-missing' });
    expect(ids(engine)).toEqual(['front']);
  });
});

describe('a changed isolation', { timeout }, () => {
  it('from node to volume keeps attached volumes where they are, and the listener with them', async () => {
    const before = await fixture.start('node');
    const [one = ''] = await attachNew(before, 'one');
    const pid = pidOf(before, 'node');
    await before.release();

    const after = await fixture.start('volume');
    const [two = ''] = await attachNew(after, 'two');
    expect(ids(after)).toEqual(['node', 'volume-two']);
    expect(pidOf(after, 'node')).toBe(pid);
    expect(await ask(one)).toBe('serving one');
    expect(await ask(two)).toBe('serving two');
    expect(new URL(two).host).toBe(new URL(one).host);
    await after.detach('two', true);
    await after.detach('one', true);
    await after.release();

    const later = await fixture.start('volume');
    expect(ids(later)).toEqual(['front']);
    expect(isAlive(pid)).toBe(false);
  });

  it('from volume to node keeps processes until their volumes are detached', async () => {
    const before = await fixture.start('volume');
    const [one = ''] = await attachNew(before, 'one');
    await before.release();

    const after = await fixture.start('node');
    const [two = ''] = await attachNew(after, 'two');
    expect(ids(after)).toEqual(['front', 'node', 'volume-one']);
    expect(await ask(one)).toBe('serving one');
    expect(await ask(two)).toBe('serving two');
    await after.detach('one', true);
    expect(ids(after)).toEqual(['front', 'node']);
    expect(await ask(two)).toBe('serving two');
  });
});

describe('a changed NBD address', { timeout }, () => {
  it.each([
    ['127.0.0.1', '0.0.0.0'],
    ['0.0.0.0', '127.0.0.1'],
  ])('from %s to %s on the same port is taken at the next start', async (host, other) => {
    const before = await fixture.start('node', { nbd: { host, port: 0 } });
    const [uri = ''] = await attachNew(before, 'one');
    const port = Number(new URL(uri).port);
    await before.release();

    const after = await fixture.start('node', { nbd: { host: other, port } });
    expect(after.processes()).toHaveLength(1);
    expect(await ask(uri)).toBe('serving one');
  });

  it('on another port ends the former one', async () => {
    const before = await fixture.start('node');
    const [uri = ''] = await attachNew(before, 'one');
    await before.release();
    const port = await end(await somebody());
    await fixture.start('node', { nbd: { host: '127.0.0.1', port } });
    expect(await askAt({ host: '127.0.0.1', port }, 'one')).toBe('serving one');
    await expect(ask(uri)).rejects.toThrow('ECONNREFUSED');
  });

  it('that is taken by somebody else leaves the former one', async () => {
    const before = await fixture.start('node');
    const [uri = ''] = await attachNew(before, 'one');
    await before.release();
    const taken = await somebody();
    const { port } = taken.address() as AddressInfo;
    await expect(fixture.start('node', { nbd: { host: '127.0.0.1', port } })).rejects.toMatchObject({
      code: 'address-in-use',
    });
    await end(taken);
    expect(await ask(uri)).toBe('serving one');
  });
});

describe('processes', { timeout }, () => {
  it('are started again after they died without a service to see it', async () => {
    const before = await fixture.start('volume');
    const spec = await fixture.createVolume(before, 'data');
    await before.attach(spec, 'nbd');
    await before.release();
    for (const { pid } of before.processes()) expect.fail(`${pid} is still supervised`);
    for (const pid of fixture.livingPids()) process.kill(pid, 'SIGKILL');
    await until(() => fixture.livingPids().length === 0);

    const after = await fixture.start('volume');
    expect(ids(after)).toEqual(['front']);
    const [uri = ''] = (await after.attach(spec, 'nbd')).uris;
    expect(await ask(uri)).toBe('serving data');
    expect(fixture.events).toContainEqual(expect.objectContaining({ kind: 'unclean-recovery', volume: 'data' }));
  });

  it('tell of what they recovered before anybody could listen', async () => {
    const engine = await fixture.start('node');
    await attachNew(engine, 'data');
    process.kill(pidOf(engine, 'node'), 'SIGKILL');
    const isTold = () => fixture.events.some(({ kind }) => kind === 'unclean-recovery');
    await until(() => fixture.events.some((event) => event.kind === 'process-started' && event.restarted));
    await until(isTold);
  });

  it('are started once, however many ask at once', async () => {
    const engine = await fixture.start('node');
    const specs = await Promise.all(['a', 'b', 'c'].map((name) => fixture.createVolume(engine, name)));
    await Promise.all(specs.flatMap((spec) => [engine.attach(spec, 'nbd'), engine.attach(spec, 'nbd')]));
    expect(fixture.livingPids()).toHaveLength(1);
  });

  it('that end by SIGTERM are replaced once they have flushed', async () => {
    const engine = await fixture.start('node');
    const [uri = ''] = await attachNew(engine, 'data');
    process.kill(pidOf(engine, 'node'), 'SIGTERM');
    await until(() => fixture.events.some((event) => event.kind === 'process-started' && event.restarted));
    expect(await ask(uri)).toBe('serving data');
    expect(fixture.events.map(({ kind }) => kind)).not.toContain('unclean-recovery');
  });

  it('fail to start with their own reason', async () => {
    const environment = { ...fixture.options('node').environment, CAIRN_FAKE_NO_IO_URING: '1' };
    await expect(fixture.start('node', { environment })).rejects.toMatchObject({
      code: 'io-uring-unavailable',
      detail: 'io_uring is disabled by CAIRN_FAKE_NO_IO_URING.',
    });
  });

  it('need a run directory whose sockets fit', async () => {
    const runDirectory = join(fixture.directory, 'x'.repeat(100));
    await expect(fixture.start('node', { runDirectory })).rejects.toMatchObject({
      code: 'invalid-config',
      field: 'runDirectory',
    });
  });
});

async function attachNew(engine: LocalNodeEngine, name: string): Promise<string[]> {
  return (await engine.attach(await fixture.createVolume(engine, name), 'nbd')).uris;
}

function untilServed(uri: string, name: string): Promise<void> {
  return until(() => ask(uri).then((answer) => answer === `serving ${name}`, () => false)); // prettier-ignore
}

function ids(engine: LocalNodeEngine): string[] {
  return engine.processes().map(({ id }) => id).toSorted(); // prettier-ignore
}

function pidOf(engine: LocalNodeEngine, id: string): number {
  return engine.processes().find((process) => process.id === id)?.pid ?? expect.fail(`no process ${id}`);
}

/** Who listens at a port of 127.0.0.1. */
async function somebody(): Promise<Server> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

/** Resolves with the port, which is free then. */
async function end(server: Server): Promise<number> {
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
