import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { hasCode } from '../../src/errors.js';
import { DataPlaneConnection } from '../../src/engine/data-plane-connection.js';
import { CacheMode } from '../../src/generated/cairn/dataplane/v1/data_plane_pb.js';
import { cairnCommand, fakeNativeEnvironment, until } from '../support/engine-fixture.js';

const timeout = 30_000;
let directory: string;
let socket: string;
const children: ChildProcess[] = [];
const connections: DataPlaneConnection[] = [];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'cairn-process-'));
  socket = join(directory, 'data-plane', 'node.sock');
});

afterEach(async () => {
  for (const connection of connections.splice(0)) connection.close();
  for (const child of children.splice(0)) await killed(child);
  rmSync(directory, { recursive: true, force: true });
});

describe('cairn data-plane', { timeout }, () => {
  it('serves on a socket that only its user can open', async () => {
    await start();
    expect(statSync(socket).mode & 0o777).toBe(0o600);
    expect(statSync(join(directory, 'data-plane')).mode & 0o777).toBe(0o700);
  });

  it('replaces the socket of a process that was killed', async () => {
    const first = await start();
    await killed(first);
    expect(existsSync(socket)).toBe(true);
    const { pid } = await start();
    expect(await connect().calls.getState({})).toMatchObject({ id: 'node', pid });
  });

  it('refuses to start where another one runs, and leaves that one alone', async () => {
    const { pid } = await start();
    const second = launch();
    expect(await once(second, 'exit')).toEqual([1, null]);
    expect(outputOf(second)).toContain('address-in-use');
    expect(await connect().calls.getState({})).toMatchObject({ pid });
  });

  it.each(['SIGTERM', 'SIGINT'] as const)('flushes and ends with exit code 0 on %s', async (signal) => {
    const child = await start();
    const replica = await openVolume(connect());
    child.kill(signal);
    expect(await once(child, 'exit')).toEqual([0, null]);
    expect(existsSync(socket)).toBe(false);
    expect(readFileSync(join(replica, 'volume.json'), 'utf8')).toContain('"clean":true');
  });

  it('lets no second signal cut the flush short', async () => {
    const child = await start({ CAIRN_FAKE_CLOSE_MS: '300' });
    const replica = await openVolume(connect());
    child.kill('SIGTERM');
    await until(() => outputOf(child).includes('closing'));
    child.kill('SIGTERM');
    child.kill('SIGINT');
    expect(await once(child, 'exit')).toEqual([0, null]);
    expect(readFileSync(join(replica, 'volume.json'), 'utf8')).toContain('"clean":true');
  });

  it('answers the Shutdown call, ends its streams, then ends', async () => {
    const child = await start();
    const connection = connect();
    const kinds: string[] = [];
    const watched = connection.watch(({ kind }) => kinds.push(kind), new AbortController().signal);
    await until(() => kinds.includes('hello'));
    const exited = once(child, 'exit');
    await connection.calls.shutdown({});
    await watched;
    expect(await exited).toEqual([0, null]);
  });

  it('ends with the reason when the addon cannot run', async () => {
    const child = launch({ CAIRN_FAKE_NO_IO_URING: '1' });
    expect(await once(child, 'exit')).toEqual([1, null]);
    expect(outputOf(child)).toContain('io-uring-unavailable');
  });

  it('says which setting makes a socket path too long', async () => {
    directory = join(directory, 'x'.repeat(100));
    const child = launch();
    expect(await once(child, 'exit')).toEqual([1, null]);
    expect(outputOf(child)).toMatch(/107\. Set runDirectory \(CAIRN_RUN_DIRECTORY\)/);
  });

  it('opens the same volume again, but not as something else', async () => {
    await start();
    const { calls } = connect();
    const replica = await openVolume(connect());
    const request = { volume: 'data', directory: replica, cacheMode: CacheMode.NONE };
    expect((await calls.openVolume(request)).volume).toMatchObject({ name: 'data' });
    const changed = calls.openVolume({ ...request, cacheMode: CacheMode.WRITEBACK });
    await expect(changed).rejects.toSatisfy((error) => hasCode(error, 'volume-exists'));
    const deleted = calls.deleteReplica({ directory: replica });
    await expect(deleted).rejects.toSatisfy((error) => hasCode(error, 'volume-in-use'));
  });

  it('removes nothing but replicas', async () => {
    await start();
    const { calls } = connect();
    const precious = join(directory, 'precious');
    mkdirSync(precious);
    for (const path of [precious, '/', 'replicas/v/r', `${directory}/replicas/v/../../precious`, '']) {
      await expect(calls.deleteReplica({ directory: path })).rejects.toSatisfy((e) => hasCode(e, 'invalid-request'));
    }
    expect(existsSync(precious)).toBe(true);
  });

  it('names the missing field of a request', async () => {
    await start();
    const { calls } = connect();
    await expect(calls.listen({})).rejects.toThrow('listener is missing');
    await expect(calls.addExport({ export: { name: 'x' } })).rejects.toThrow('either volume or handover_path');
    const unspecified = calls.openVolume({ volume: 'x', directory: '/nowhere' });
    await expect(unspecified).rejects.toThrow('cache_mode 0 is not a cache mode');
  });

  it('listens once at each address, whatever the port was asked as', async () => {
    await start();
    const { calls } = connect();
    const first = await calls.listen({ listener: tcp(0) });
    const again = await calls.listen({ listener: tcp(0) });
    expect(again).toEqual(first);
    const address = first.listener?.address;
    const port = address?.case === 'nbdTcp' ? address.value.port : 0;
    expect(port).toBeGreaterThan(0);
    expect(await calls.listen({ listener: tcp(port) })).toEqual(first);
    expect((await calls.getState({})).listeners).toHaveLength(1);
  });

  it('says so when an address is taken', async () => {
    await start();
    const foreign = createServer().listen(0, '127.0.0.1');
    await once(foreign, 'listening');
    const { port } = foreign.address() as { port: number };
    const listening = connect().calls.listen({ listener: tcp(port) });
    await expect(listening).rejects.toSatisfy((error) => hasCode(error, 'address-in-use'));
    foreign.close();
  });
});

const outputs = new WeakMap<ChildProcess, string>();

function launch(environment: NodeJS.ProcessEnv = {}): ChildProcess {
  const [program = '', ...leading] = cairnCommand;
  const child = spawn(program, [...leading, 'data-plane', 'node', '--run-directory', directory], {
    env: fakeNativeEnvironment(environment),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const collect = (bytes: Buffer): void => void outputs.set(child, outputOf(child) + bytes.toString());
  child.stdout.on('data', collect);
  child.stderr.on('data', collect);
  children.push(child);
  return child;
}

async function start(environment: NodeJS.ProcessEnv = {}): Promise<ChildProcess> {
  const child = launch(environment);
  await until(() => outputOf(child).includes('data plane started'), timeout);
  return child;
}

function connect(): DataPlaneConnection {
  const connection = new DataPlaneConnection(socket);
  connections.push(connection);
  return connection;
}

/** Returns the replica's directory. */
async function openVolume({ calls }: DataPlaneConnection): Promise<string> {
  const replica = join(directory, 'pool/replicas/data/r1');
  await calls.createReplica({ directory: replica, volumeId: 'v', replicaId: 'r1', sizeBytes: 8192n, blockSize: 512 });
  await calls.openVolume({ volume: 'data', directory: replica, cacheMode: CacheMode.NONE });
  return replica;
}

function tcp(port: number) {
  return { address: { case: 'nbdTcp', value: { host: '127.0.0.1', port } } } as const;
}

function outputOf(child: ChildProcess): string {
  return outputs.get(child) ?? '';
}

async function killed(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;
}
