/**
 * A stand-in for the addon, in memory and with small JSON files: what src/engine needs to be tested without the data path.
 *
 * It serves no blocks. A client connects to a listener, sends `NAME\n`, and is answered `serving NAME\n` (or `no NAME\n` and the
 * end of the connection); until it disconnects it counts as a client of the volume. A front hands a connection over by
 * piping it, so its own death ends such a connection, which with the addon it does not.
 *
 * Environment: CAIRN_FAKE_MERGE_MS is how long the merge of a deleted snapshot takes (default 20);
 * CAIRN_FAKE_CLOSE_MS is how long close() flushes (default 0); CAIRN_FAKE_NO_IO_URING=1 makes probe() fail.
 */
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createConnection, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import type {
  CacheMode,
  DataPlaneOptions,
  LayerInfo,
  Native,
  NativeDataPlane,
  NativeEvent,
  NewExport,
  NewReplica,
  VolumeInfo,
} from '../../src/engine/native.js';

interface StoredReplica extends NewReplica {
  layers: LayerInfo[];
  heads: number;
  clean: boolean;
}

interface OpenVolume {
  name: string;
  cacheMode: CacheMode;
  replica: StoredReplica;
  clients: Set<Socket>;
  recovered: boolean;
  merges: Set<NodeJS.Timeout>;
}

export const probe: Native['probe'] = () =>
  process.env['CAIRN_FAKE_NO_IO_URING'] === '1'
    ? { ioUring: false, reason: 'io_uring is disabled by CAIRN_FAKE_NO_IO_URING.' }
    : { ioUring: true, reason: null };

export class DataPlane implements NativeDataPlane {
  private readonly volumes = new Map<string, OpenVolume>();
  private readonly exports = new Map<string, NewExport>();
  private readonly servers: Server[] = [];
  private readonly sockets = new Set<Socket>();
  private closed = false;

  constructor(
    _options: DataPlaneOptions,
    private readonly onEvent: (event: NativeEvent) => void,
  ) {}

  async createReplica(replica: NewReplica): Promise<void> {
    this.assertNotClosed();
    if (existsSync(join(replica.directory, 'volume.json'))) fail('REPLICA_EXISTS', `${replica.directory} is taken`);
    if (replica.sizeBytes < 4096 || replica.sizeBytes % 4096 !== 0) fail('INVALID_ARGUMENT', 'wrong size');
    mkdirSync(replica.directory, { recursive: true });
    store({ ...replica, layers: [layer('head-0', null)], heads: 1, clean: true });
  }

  async openVolume(volume: { name: string; directory: string; cacheMode: CacheMode }): Promise<VolumeInfo> {
    this.assertNotClosed();
    if (this.volumes.has(volume.name)) fail('VOLUME_EXISTS', `${volume.name} is open`);
    const replica = load(volume.directory);
    lock(volume.directory);
    const recovered = !replica.clean;
    const open: OpenVolume = { ...volume, replica, clients: new Set(), recovered, merges: new Set() };
    store({ ...replica, clean: false });
    this.volumes.set(volume.name, open);
    for (const removed of replica.layers.filter((each) => each.removed)) this.merge(open, removed.id);
    return infoOf(open);
  }

  async closeVolume(name: string): Promise<void> {
    const volume = this.volume(name);
    if ([...this.exports.values()].some((each) => each.volume === name)) fail('VOLUME_IN_USE', `${name} is exported`);
    this.closeNow(volume);
  }

  async volumeInfo(name: string): Promise<VolumeInfo> {
    return infoOf(this.volume(name));
  }

  async createSnapshot(name: string, snapshotId: string): Promise<void> {
    const { replica } = this.volume(name);
    if (replica.layers.some((each) => each.id === snapshotId)) fail('SNAPSHOT_EXISTS', `${snapshotId} exists`);
    const head = replica.layers.at(-1) as LayerInfo;
    replica.layers.splice(-1, 1, { ...head, id: snapshotId }, layer(`head-${replica.heads++}`, snapshotId));
    store({ ...replica, clean: false });
  }

  async deleteSnapshot(name: string, snapshotId: string): Promise<void> {
    const volume = this.volume(name);
    this.snapshot(volume, snapshotId).removed = true;
    store({ ...volume.replica, clean: false });
    this.merge(volume, snapshotId);
  }

  async revertSnapshot(name: string, snapshotId: string): Promise<void> {
    const volume = this.volume(name);
    if (volume.clients.size > 0) fail('VOLUME_IN_USE', `${name} has clients`);
    this.snapshot(volume, snapshotId);
    const { replica } = volume;
    replica.layers.splice(-1, 1, layer(`head-${replica.heads++}`, snapshotId));
    store({ ...replica, clean: false });
  }

  async addExport(exported: NewExport): Promise<void> {
    this.assertNotClosed();
    if (this.exports.has(exported.name)) fail('EXPORT_EXISTS', `${exported.name} is taken`);
    if (exported.volume !== null) this.volume(exported.volume);
    this.exports.set(exported.name, exported);
  }

  async removeExport(name: string, force: boolean): Promise<void> {
    const exported = this.exports.get(name) ?? fail('EXPORT_MISSING', `no export ${name}`);
    const clients = exported.volume === null ? new Set<Socket>() : this.volume(exported.volume).clients;
    if (clients.size > 0 && !force) fail('VOLUME_IN_USE', `${name} has clients`);
    for (const client of clients) client.destroy();
    this.exports.delete(name);
  }

  async listenTcp(host: string, port: number): Promise<{ host: string; port: number }> {
    const server = await this.listen({ host, port });
    return { host, port: (server.address() as { port: number }).port };
  }

  async listenUnix(path: string): Promise<void> {
    await replaceStale(path);
    await this.listen({ path });
  }

  async listenHandover(path: string): Promise<void> {
    await this.listenUnix(path);
  }

  async close(): Promise<void> {
    this.assertNotClosed();
    this.closed = true;
    for (const server of this.servers) server.close();
    await new Promise((resolve) => setTimeout(resolve, Number(process.env['CAIRN_FAKE_CLOSE_MS'] ?? 0)));
    for (const socket of this.sockets) socket.destroy();
    for (const volume of this.volumes.values()) this.closeNow(volume);
  }

  private closeNow(volume: OpenVolume): void {
    for (const timer of volume.merges) clearTimeout(timer);
    this.volumes.delete(volume.name);
    store({ ...volume.replica, clean: true });
    rmSync(join(volume.replica.directory, 'lock'), { force: true });
  }

  private merge(volume: OpenVolume, id: string): void {
    const timer = setTimeout(
      () => {
        volume.merges.delete(timer);
        const { replica } = volume;
        const gone = this.snapshot(volume, id);
        replica.layers = replica.layers.filter((each) => each !== gone);
        for (const child of replica.layers) if (child.parent === id) child.parent = gone.parent;
        store({ ...replica, clean: false });
        this.onEvent({ kind: 'merge-finished', volume: volume.name, message: id });
      },
      Number(process.env['CAIRN_FAKE_MERGE_MS'] ?? 20),
    );
    volume.merges.add(timer);
  }

  private listen(address: { host: string; port: number } | { path: string }): Promise<Server> {
    this.assertNotClosed();
    return new Promise((resolve, reject) => {
      const server = createServer((socket) => this.accept(socket));
      server.once('error', reject);
      server.listen(address, () => resolve(server));
      this.servers.push(server);
    });
  }

  private accept(socket: Socket): void {
    this.sockets.add(socket);
    socket.on('error', () => socket.destroy());
    socket.once('data', (bytes) => this.serve(socket, bytes.toString().trim()));
    socket.once('close', () => this.sockets.delete(socket));
  }

  private serve(socket: Socket, name: string): void {
    const exported = this.exports.get(name);
    if (!exported) return void socket.end(`no ${name}\n`);
    if (exported.handover) {
      const holder = createConnection(exported.handover.path, () => holder.write(`${name}\n`));
      holder.on('error', () => socket.destroy());
      socket.pipe(holder).pipe(socket);
      return;
    }
    const { clients } = this.volume(exported.volume ?? name);
    clients.add(socket);
    socket.once('close', () => clients.delete(socket));
    socket.write(`serving ${name}\n`);
  }

  private volume(name: string): OpenVolume {
    return this.volumes.get(name) ?? fail('VOLUME_NOT_OPEN', `${name} is not open`);
  }

  private snapshot(volume: OpenVolume, id: string): LayerInfo {
    const found = volume.replica.layers.find((each) => each.id === id && !id.startsWith('head-'));
    return found ?? fail('SNAPSHOT_MISSING', `no snapshot ${id}`);
  }

  private assertNotClosed(): void {
    if (this.closed) fail('CLOSED', 'the data plane is closed');
  }
}

function infoOf({ name, cacheMode, replica, clients, recovered }: OpenVolume): VolumeInfo {
  const { directory, volumeId, sizeBytes, blockSize } = replica;
  const zero = { reads: 0, readBytes: 0, writes: 0, writtenBytes: 0, flushes: 0, trims: 0, trimmedBytes: 0 };
  return {
    name,
    directory,
    volumeId,
    sizeBytes,
    blockSize,
    cacheMode,
    recovered,
    layers: structuredClone(replica.layers),
    counters: { ...zero, writeZeroes: 0, errors: 0 },
    clients: clients.size,
    failure: null,
  };
}

function layer(id: string, parent: string | null): LayerInfo {
  return { id, parent, removed: false, inChain: true, allocatedBytes: 0, createdMs: Date.now(), mergeProgress: 0 };
}

function load(directory: string): StoredReplica {
  const file = join(directory, 'volume.json');
  if (!existsSync(file)) fail('REPLICA_MISSING', `no replica in ${directory}`);
  return JSON.parse(readFileSync(file, 'utf8')) as StoredReplica;
}

function store(replica: StoredReplica): void {
  const file = join(replica.directory, 'volume.json');
  writeFileSync(`${file}.new`, JSON.stringify(replica));
  renameSync(`${file}.new`, file);
}

/** Stands for flock: held by a living process, gone with it. */
function lock(directory: string): void {
  const file = join(directory, 'lock');
  const holder = existsSync(file) ? readFileSync(file, 'utf8') : '';
  if (holder !== '' && isRunning(holder)) fail('VOLUME_LOCKED', `${directory} is open in process ${holder}`);
  writeFileSync(file, String(process.pid));
}

function isRunning(pid: string): boolean {
  const stat = `/proc/${pid}/stat`;
  return existsSync(stat) && !/\) [ZX] /.test(readFileSync(stat, 'utf8'));
}

function replaceStale(path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const attempt = createConnection(path);
    attempt.once('connect', () => {
      attempt.destroy();
      reject(Object.assign(new Error(`${path} is in use`), { code: 'EADDRINUSE' }));
    });
    attempt.once('error', () => {
      rmSync(path, { force: true });
      resolve();
    });
  });
}

function fail(code: string, message: string): never {
  throw Object.assign(new Error(message), { code });
}
