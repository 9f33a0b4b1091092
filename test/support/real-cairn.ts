/**
 * A real Cairn for a test or a benchmark: `cairn serve` and its data planes with the real addon, on free ports, in a directory of
 * its own. Whatever happens, its processes end and its files go with it.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Node } from '../../src/api/node-schemas.js';
import type { Event, EventList, NewVolume, Snapshot, SnapshotList, Volume } from '../../src/api/schemas.js';
import type { NbdAddress } from './nbd-stream.js';
import { eventually } from './real-deadline.js';
import { endProcess, isRunning, processesNaming } from './real-process.js';
import { RestClient } from './real-rest.js';

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const program = join(root, 'dist/cli/main.js');
const addon = join(root, 'build/Release/cairn.node');

const readyTimeoutMs = 20_000;
const stopTimeoutMs = 20_000;

export interface RealCairnOptions {
  isolation?: 'node' | 'volume';
  /** Where replicas live; default: a directory of Cairn's own. */
  pool?: string;
  /** Where the directory with everything else is made; default: the system's temporary directory. */
  parent?: string;
  /** More of the service's CAIRN_… variables. */
  environment?: Record<string, string>;
}

/** Why no real Cairn can run here; `null` when it can. */
export function whyNoCairn(): string | null {
  if (!existsSync(program)) return 'dist/ is not built (npm run build)';
  return existsSync(addon) ? null : 'the addon is not built (npm run build)';
}

/** All that were started and not closed: a test run that ends early takes them with it. */
const open = new Set<RealCairn>();
process.once('exit', () => {
  for (const cairn of open) {
    cairn.killEverything();
    cairn.removeFiles();
  }
});

export class RealCairn {
  readonly rest: RestClient;
  private readonly serviceLog: string;
  readonly pool: string;
  private serve: ChildProcess | undefined;

  private constructor(
    private readonly base: string,
    private readonly runDirectory: string,
    private readonly options: RealCairnOptions,
    private readonly ports: { rest: number; nbd: number; iscsi: number },
  ) {
    this.rest = new RestClient(`http://127.0.0.1:${ports.rest}`);
    this.pool = options.pool ?? join(base, 'data/pool');
    this.serviceLog = join(base, 'serve.log');
  }

  /** Resolves when the service is ready. */
  static async start(options: RealCairnOptions = {}): Promise<RealCairn> {
    const base = mkdtempSync(join(options.parent ?? tmpdir(), 'cairn-real-'));
    // Sockets need a short path, which `parent` may not be.
    const runDirectory = options.parent === undefined ? join(base, 'run') : mkdtempSync(join(tmpdir(), 'cairn-run-'));
    const [rest = 0, nbd = 0, iscsi = 0] = await freePorts(3);
    const cairn = new RealCairn(base, runDirectory, options, { rest, nbd, iscsi });
    open.add(cairn);
    try {
      await cairn.startServe();
      return cairn;
    } catch (error) {
      await cairn.close();
      throw error;
    }
  }

  get servePid(): number {
    return this.serve?.pid ?? 0;
  }

  get unixSocket(): string {
    return join(this.runDirectory, 'nbd.sock');
  }

  address(transport: 'tcp' | 'unix' = 'tcp'): NbdAddress {
    return transport === 'tcp' ? { host: '127.0.0.1', port: this.ports.nbd } : { path: this.unixSocket };
  }

  /** The address of a volume's export; both name the same volume. */
  uri(volume: string, transport: 'tcp' | 'unix' = 'tcp'): string {
    if (transport === 'tcp') return `nbd://127.0.0.1:${this.ports.nbd}/${volume}`;
    return `nbd+unix:///${volume}?socket=${this.unixSocket}`;
  }

  /** Where iSCSI's targets are, `HOST:PORT`. */
  get iscsiPortal(): string {
    return `127.0.0.1:${this.ports.iscsi}`;
  }

  targetName(volume: string): string {
    return `iqn.2026-11.io.cairn:${volume}`;
  }

  /** `user`: USER%SECRET of CHAP. */
  iscsiUri(volume: string, user?: string): string {
    return `iscsi://${user === undefined ? '' : `${user}@`}${this.iscsiPortal}/${this.targetName(volume)}/0`;
  }

  createVolume(name: string, request: Omit<NewVolume, 'name'>): Promise<Volume> {
    return this.rest.call('POST', '/v1/volumes', { name, ...request });
  }

  /** A new volume, attached. */
  async serveVolume(name: string, request: Omit<NewVolume, 'name'>): Promise<Volume> {
    await this.createVolume(name, request);
    return this.attach(name);
  }

  /** A new volume with the content of a snapshot, attached. */
  async serveClone(name: string, volume: string, snapshot: string, request: Partial<NewVolume> = {}): Promise<Volume> {
    await this.rest.call('POST', '/v1/volumes', { name, source: { volume, snapshot }, ...request });
    return this.attach(name);
  }

  resize(name: string, size: number | string): Promise<Volume> {
    return this.rest.call('POST', `/v1/volumes/${name}/resize`, { size });
  }

  volume(name: string): Promise<Volume> {
    return this.rest.call('GET', `/v1/volumes/${name}`);
  }

  attach(name: string, frontend: 'nbd' | 'iscsi' | 'none' = 'nbd'): Promise<Volume> {
    return this.rest.call('POST', `/v1/volumes/${name}/attach`, { frontend });
  }

  detach(name: string, force = false): Promise<Volume> {
    return this.rest.call('POST', `/v1/volumes/${name}/detach`, { force });
  }

  /** Detaches it first, whoever uses it. */
  async deleteVolume(name: string): Promise<void> {
    await this.detach(name, true);
    await this.rest.call('DELETE', `/v1/volumes/${name}`);
  }

  createSnapshot(volume: string, name: string): Promise<Snapshot> {
    return this.rest.call('POST', `/v1/volumes/${volume}/snapshots`, { name });
  }

  async snapshots(volume: string): Promise<Snapshot[]> {
    const { snapshots } = await this.rest.call<SnapshotList>('GET', `/v1/volumes/${volume}/snapshots`);
    return snapshots;
  }

  async deleteSnapshot(volume: string, name: string): Promise<void> {
    await this.rest.call('DELETE', `/v1/volumes/${volume}/snapshots/${name}`);
  }

  /** Detached for the moment, as it must be. */
  async revert(volume: string, snapshot: string): Promise<void> {
    await this.detach(volume, true);
    await this.rest.call('POST', `/v1/volumes/${volume}/snapshots/${snapshot}/revert`);
    await this.attach(volume);
  }

  async events(volume: string): Promise<Event[]> {
    const { events } = await this.rest.call<EventList>('GET', `/v1/events?volume=${volume}`);
    return events;
  }

  node(): Promise<Node> {
    return this.rest.call('GET', '/v1/node');
  }

  /** The process that holds the volume, found as an operator would. */
  async holderOf(volume: string): Promise<number> {
    const { processes } = await this.node();
    const holder = processes.find(({ volumes }) => volumes.includes(volume));
    if (holder === undefined) throw new Error(`No process holds ${volume}.`);
    return holder.pid;
  }

  /** The data planes that run, whatever the service knows of them. */
  dataPlanePids(): number[] {
    return processesNaming(this.runDirectory, 'data-plane');
  }

  /** The service alone; data planes of an earlier one are adopted. Resolves when it is ready. */
  async startServe(): Promise<void> {
    mkdirSync(this.runDirectory, { recursive: true });
    const output = openSync(this.serviceLog, 'a');
    this.serve = spawn(process.execPath, [program, 'serve'], {
      env: { ...process.env, ...this.settings() },
      stdio: ['ignore', output, output],
    });
    closeSync(output);
    await eventually('the service is ready', () => this.isReady(), readyTimeoutMs);
  }

  async killServe(): Promise<void> {
    await this.endServe('SIGKILL');
  }

  /** SIGTERM to the service alone: data planes go on. Resolves with its exit code. */
  async stopServe(): Promise<number | null> {
    await this.endServe('SIGTERM');
    return this.serve?.exitCode ?? null;
  }

  /** SIGTERM to everything, the service first. Resolves when all have ended. */
  async stop(): Promise<void> {
    await this.endServe('SIGTERM');
    for (const pid of this.dataPlanePids()) await endProcess(pid, 'SIGTERM', stopTimeoutMs);
  }

  /** The last lines that each process logged. */
  logs(linesMax: number): string {
    const directory = join(this.base, 'data/log');
    const files = existsSync(directory) ? readdirSync(directory).map((file) => join(directory, file)) : [];
    return [this.serviceLog, ...files].map((file) => `${file}:\n${lastLines(file, linesMax)}`).join('\n');
  }

  async close(): Promise<void> {
    this.killEverything();
    await eventually('all processes have ended', () => this.everyProcess().length === 0, stopTimeoutMs);
    open.delete(this);
    this.removeFiles();
  }

  removeFiles(): void {
    for (const path of [this.runDirectory, this.base]) rmSync(path, { recursive: true, force: true });
  }

  killEverything(): void {
    for (const pid of this.everyProcess()) {
      if (isRunning(pid)) process.kill(pid, 'SIGKILL');
    }
  }

  private everyProcess(): number[] {
    const isServing = this.serve !== undefined && this.serve.exitCode === null && this.serve.signalCode === null;
    return [...(isServing ? [this.servePid] : []), ...this.dataPlanePids()];
  }

  private settings(): Record<string, string> {
    return {
      CAIRN_DATA_DIRECTORY: join(this.base, 'data'),
      CAIRN_RUN_DIRECTORY: this.runDirectory,
      CAIRN_REST_PORT: String(this.ports.rest),
      CAIRN_NBD_PORT: String(this.ports.nbd),
      CAIRN_ISCSI_PORT: String(this.ports.iscsi),
      CAIRN_POOLS: this.pool,
      CAIRN_ISOLATION: this.options.isolation ?? 'node',
      ...this.options.environment,
    };
  }

  private async isReady(): Promise<boolean> {
    if (this.serve?.exitCode !== null)
      throw new Error(`The service ended at its start:\n${lastLines(this.serviceLog, 20)}`);
    return this.rest.isReady();
  }

  private async endServe(signal: NodeJS.Signals): Promise<void> {
    const child = this.serve;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exited = new Promise((resolve) => child.once('exit', resolve));
    child.kill(signal);
    await exited;
  }
}

function lastLines(file: string, count: number): string {
  return existsSync(file) ? readFileSync(file, 'utf8').trimEnd().split('\n').slice(-count).join('\n') : '';
}

/** Ports that nobody listens on at this moment. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  await Promise.all(
    servers.map((server) => new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()))),
  );
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
