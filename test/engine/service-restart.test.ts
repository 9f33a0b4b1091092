/** `cairn serve` and its data plane as two processes: either may die, and the volumes are served. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createClient, type Client } from '../../src/api/client.js';
import type { Isolation } from '../../src/engine/node-engine.js';
import { ask, cairnCommand, EngineFixture, fakeNativeEnvironment, isAlive, until } from '../support/engine-fixture.js';

const timeout = 60_000;
let fixture: EngineFixture;
const services: ChildProcess[] = [];

beforeEach(() => {
  fixture = new EngineFixture();
});
afterEach(async () => {
  for (const service of services.splice(0)) await end(service, 'SIGKILL');
  await fixture.remove();
}, timeout);

describe.each<Isolation>(['node', 'volume'])('cairn serve (isolation %s)', { timeout }, (isolation) => {
  it('that was killed leaves the data plane serving, and its successor takes that over', async () => {
    const first = await serve(isolation);
    const uri = await attachNew(first.client, 'data');
    const before = await processesOf(first.client);
    await end(first.child, 'SIGKILL');
    expect(await ask(uri)).toBe('serving data');

    const second = await serve(isolation);
    await until(async () => (await second.client.getVolume({ params: { name: 'data' } })).state === 'attached');
    expect(await processesOf(second.client)).toEqual(before);
    const { uris } = await second.client.getVolume({ params: { name: 'data' } });
    expect(uris[0]).toBe(uri);
    expect(await ask(uri)).toBe('serving data');
  });

  it('serves its volumes again when everything was killed', async () => {
    const first = await serve(isolation);
    await attachNew(first.client, 'data');
    await end(first.child, 'SIGKILL');
    for (const pid of fixture.livingPids()) process.kill(pid, 'SIGKILL');
    await until(() => fixture.livingPids().length === 0);

    const { client } = await serve(isolation);
    await until(async () => (await client.getVolume({ params: { name: 'data' } })).uris.length > 0);
    const { uris } = await client.getVolume({ params: { name: 'data' } });
    expect(await ask(uris[0] ?? '')).toBe('serving data');
  });

  it('that is stopped leaves the data plane running, unless it was told to end it too', async () => {
    const first = await serve(isolation);
    await attachNew(first.client, 'data');
    const pids = fixture.livingPids();
    expect(await end(first.child, 'SIGTERM')).toEqual([0, null]);
    expect(pids.filter(isAlive)).toEqual(pids);

    const second = await serve(isolation, ['--with-data-plane']);
    second.child.kill('SIGINT');
    expect(await end(second.child, 'SIGTERM')).toEqual([0, null]);
    expect(pids.filter(isAlive)).toEqual([]);
  });
});

describe('cairn serve', { timeout }, () => {
  it('says in one line why it cannot start', async () => {
    const child = launch('node', [], { CAIRN_FAKE_NO_IO_URING: '1' });
    expect(await exitOf(child)).toEqual([1, null]);
    expect(outputOf(child)).toBe('error: io_uring is disabled by CAIRN_FAKE_NO_IO_URING.\n');
  });
});

const outputs = new WeakMap<ChildProcess, string>();

function launch(isolation: Isolation, flags: string[], environment: NodeJS.ProcessEnv = {}): ChildProcess {
  const [program = '', ...leading] = cairnCommand;
  const directories = ['--data-directory', fixture.directory, '--run-directory', fixture.runDirectory];
  const ports = ['--rest-port', '0', '--nbd-port', '0', '--isolation', isolation];
  const child = spawn(program, [...leading, 'serve', ...directories, ...ports, ...flags], {
    env: fakeNativeEnvironment(environment),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const collect = (bytes: Buffer): void => void outputs.set(child, outputOf(child) + bytes.toString());
  child.stdout.on('data', collect);
  child.stderr.on('data', collect);
  services.push(child);
  return child;
}

async function serve(isolation: Isolation, flags: string[] = []): Promise<{ child: ChildProcess; client: Client }> {
  const child = launch(isolation, flags);
  await until(() => outputOf(child).includes('service started'), timeout);
  const port = /"service started".*"port":(\d+)/.exec(outputOf(child))?.[1];
  return { child, client: createClient({ url: `http://127.0.0.1:${port}` }) };
}

async function attachNew(client: Client, name: string): Promise<string> {
  await client.createVolume({ body: { name, size: '1MiB' } });
  const { uris } = await client.attachVolume({ params: { name } });
  return uris[0] ?? expect.fail('no URI');
}

async function processesOf(client: Client): Promise<string[]> {
  const { processes } = await client.getNode();
  return processes.map(({ id, pid, volumes }) => `${id} ${pid} ${volumes.join()}`);
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<unknown[]> {
  child.kill(signal);
  return exitOf(child);
}

async function exitOf(child: ChildProcess): Promise<unknown[]> {
  if (child.exitCode !== null || child.signalCode !== null) return [child.exitCode, child.signalCode];
  return once(child, 'close');
}

function outputOf(child: ChildProcess): string {
  return outputs.get(child) ?? '';
}
