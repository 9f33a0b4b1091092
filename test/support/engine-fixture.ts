/** Engines over really spawned data-plane processes that run the stand-in of the addon, in a directory of their own. */
import { randomUUID } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import { noLimits } from '../../src/engine/native.js';
import { LocalNodeEngine, type LocalNodeEngineOptions } from '../../src/engine/local-node-engine.js';
import type { KeySource } from '../../src/keys/key-source.js';
import { CairnError } from '../../src/errors.js';
import { compiledCairn } from './compiled-cairn.js';
import type { EngineEvent, Isolation, VolumeSpec } from '../../src/engine/node-engine.js';

const sizeBytes = 1024 * 1024;

const compiled = compiledCairn();

/** What runs `cairn`. */
export const cairnCommand = compiled.command;

export function fakeNativeEnvironment(extra: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  return { ...process.env, CAIRN_NATIVE_MODULE: compiled.nativeModule, ...extra };
}

const noKeys: KeySource = {
  use: () => Promise.reject(new CairnError('key-unavailable', 'There are no keys in this test.')),
};

export class EngineFixture {
  readonly directory = mkdtempSync(join(tmpdir(), 'cairn-engine-'));
  readonly runDirectory = join(this.directory, 'run');
  readonly logDirectory = join(this.directory, 'log');
  readonly events: EngineEvent[] = [];
  private readonly engines: LocalNodeEngine[] = [];

  /** Options of an engine on this directory; a second engine stands for the service after its restart. */
  options(isolation: Isolation, changes: Partial<LocalNodeEngineOptions> = {}): LocalNodeEngineOptions {
    return {
      isolation,
      runDirectory: this.runDirectory,
      logDirectory: this.logDirectory,
      logLevel: 'info',
      dataPlane: {
        reactors: 1,
        bufferBytes: 4 * 1024 * 1024,
        connectionsMax: 4096,
        negotiationsMax: 1024,
        iscsi: { connectionsMax: 100, loginsMax: 50 },
      },
      nbd: { host: '127.0.0.1', port: 0 },
      iscsi: { host: '127.0.0.1', port: 0, portals: [], discovery: { initiators: [], chap: null, mutual: null } },
      tls: { mode: 'off', certificateDirectory: null, verifyPeer: false, pskFile: null },
      command: cairnCommand,
      environment: fakeNativeEnvironment(),
      keys: noKeys,
      log: () => {},
      ...changes,
    };
  }

  async start(isolation: Isolation, changes: Partial<LocalNodeEngineOptions> = {}): Promise<LocalNodeEngine> {
    const engine = new LocalNodeEngine(this.options(isolation, changes));
    this.engines.push(engine);
    await engine.start((event) => this.events.push(event));
    return engine;
  }

  /** Makes a replica and names it as a volume. */
  async createVolume(engine: LocalNodeEngine, name: string): Promise<VolumeSpec> {
    const volumeId = randomUUID();
    const replicaId = randomUUID();
    const directory = join(this.directory, 'pool', 'replicas', volumeId, replicaId);
    await engine.createReplica({ directory, volumeId, replicaId, sizeBytes, blockSize: 4096 });
    return {
      name,
      volumeId,
      directory,
      cacheMode: 'none',
      sizeBytes,
      limits: noLimits,
      description: '',
      encryption: null,
      raw: false,
      readOnly: false,
      access: { initiators: [], chap: null, mutual: null },
    };
  }

  /** Pids of the data-plane processes of this directory that live, by what their logs say. */
  livingPids(): number[] {
    if (!existsSync(this.logDirectory)) return [];
    const logs = readdirSync(this.logDirectory).map((file) => readFileSync(join(this.logDirectory, file), 'utf8'));
    const started = logs.flatMap((log) => [...log.matchAll(/"data plane started","pid":(\d+)/g)]);
    return started.map(([, pid]) => Number(pid)).filter(isAlive);
  }

  /** Ends whatever still runs and removes the directory. */
  async remove(): Promise<void> {
    for (const engine of this.engines) await engine.release();
    for (const pid of this.livingPids()) process.kill(pid, 'SIGKILL');
    rmSync(this.directory, { recursive: true, force: true, maxRetries: 10 });
  }
}

export function isAlive(pid: number): boolean {
  try {
    return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}

/** A client of the stand-in: what it is told when it asks for the volume at a URI. */
export function ask(uri: string): Promise<string> {
  const { hostname, port, pathname } = new URL(uri);
  return askAt({ host: hostname, port: Number(port) }, pathname.slice(1));
}

export function askAt(address: { host: string; port: number } | { path: string }, name: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(address, () => socket.write(`${name}\n`));
    socket.once('error', reject);
    socket.once('close', () => resolve('closed'));
    socket.once('data', (bytes) => {
      resolve(bytes.toString().trim());
      socket.destroy();
    });
  });
}

/** Waits until `probe` says so, asking often; fails after a generous time. */
export async function until(probe: () => Promise<boolean> | boolean, timeout = 10_000): Promise<void> {
  await expect.poll(probe, { timeout, interval: 10 }).toBe(true);
}
