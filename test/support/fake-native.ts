/**
 * A stand-in for the addon, in memory and with small JSON files: what src/engine needs to be tested without the data path.
 *
 * It serves no blocks. A client connects to a listener, sends `NAME\n`, and is answered `serving NAME\n` (or `no NAME\n` and the
 * end of the connection); until it disconnects it counts as a client of the volume. A front hands a connection over by
 * piping it, so its own death ends such a connection, which with the addon it does not.
 *
 * A clone's layers are copies marked as shared; flattening takes the mark away; a scrub finds every layer damaged whose id the replica's
 * file `damaged` names.
 *
 * Environment: CAIRN_FAKE_MERGE_MS is how long merges, flattenings and scrubs take (default 20);
 * CAIRN_FAKE_CLOSE_MS is how long close() flushes (default 0); CAIRN_FAKE_NO_IO_URING=1 makes probe() fail.
 */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createConnection, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import type {
  CacheMode,
  CloneTarget,
  DataPlaneOptions,
  HeaderInfo,
  LayerInfo,
  Limits,
  LuksFormat,
  Native,
  NativeDataPlane,
  NativeEvent,
  Access,
  NewExport,
  NewTarget,
  NewReplica,
  ScrubInfo,
  TlsSettings,
  VolumeInfo,
  VolumeToOpen,
} from '../../src/engine/native.js';
import { fail, load, lock, store, type StoredReplica } from './fake-replica-files.js';
import { FakeTargets } from './fake-targets.js';

interface OpenVolume {
  name: string;
  cacheMode: CacheMode;
  limits: Limits;
  replica: StoredReplica;
  clients: Set<Socket>;
  recovered: boolean;
  work: Set<NodeJS.Timeout>;
  scrub: ScrubInfo;
  unlocked: boolean;
}

export const probe: Native['probe'] = () =>
  process.env['CAIRN_FAKE_NO_IO_URING'] === '1'
    ? { ioUring: false, reason: 'io_uring is disabled by CAIRN_FAKE_NO_IO_URING.' }
    : { ioUring: true, reason: null };

export class DataPlane implements NativeDataPlane {
  private readonly volumes = new Map<string, OpenVolume>();
  private readonly exports = new Map<string, NewExport>();
  private readonly targets = new FakeTargets();
  private readonly servers: Server[] = [];
  private readonly sockets = new Set<Socket>();
  private tls: TlsSettings = { mode: 'off', certificateDirectory: null, verifyPeer: false, pskFile: null };
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
    store({ ...replica, layers: [layer('head-0', null)], heads: 1, flattening: false, clean: true });
  }

  async openVolume(volume: VolumeToOpen): Promise<VolumeInfo> {
    this.assertNotClosed();
    if (this.volumes.has(volume.name)) fail('VOLUME_EXISTS', `${volume.name} is open`);
    const replica = load(volume.directory);
    lock(volume.directory);
    const recovered = !replica.clean;
    const open: OpenVolume = {
      ...volume,
      replica,
      clients: new Set(),
      recovered,
      work: new Set(),
      scrub: noScrub,
      unlocked: false,
    };
    store({ ...replica, clean: false });
    this.volumes.set(volume.name, open);
    for (const removed of replica.layers.filter((each) => each.removed)) this.merge(open, removed.id);
    if (replica.flattening) this.goOnFlattening(open);
    return infoOf(open);
  }

  async closeVolume(name: string): Promise<void> {
    const volume = this.volume(name);
    if ([...this.exports.values(), ...this.targets.all()].some((each) => each.volume === name))
      fail('VOLUME_IN_USE', `${name} is exported`);
    this.closeNow(volume);
  }

  async volumeInfo(name: string): Promise<VolumeInfo> {
    return infoOf(this.volume(name));
  }

  async setLimits(name: string, limits: Limits): Promise<void> {
    this.volume(name).limits = limits;
  }

  async resizeVolume(name: string, sizeBytes: number): Promise<void> {
    const { replica } = this.volume(name);
    if (sizeBytes < replica.sizeBytes) fail('INVALID_ARGUMENT', `${name} is larger`);
    replica.sizeBytes = sizeBytes;
    store({ ...replica, clean: false });
  }

  async cloneSnapshot(name: string, { snapshotId, ...target }: CloneTarget): Promise<void> {
    const { replica } = this.volume(name);
    const parent = this.snapshot(this.volume(name), snapshotId);
    if (existsSync(join(target.directory, 'volume.json'))) fail('REPLICA_EXISTS', `${target.directory} is taken`);
    const shared = replica.layers
      .slice(0, replica.layers.indexOf(parent) + 1)
      .map((each) => ({ ...each, shared: true }));
    mkdirSync(target.directory, { recursive: true });
    store({ ...replica, ...target, layers: [...shared, layer('head-0', snapshotId)], heads: 1, clean: true });
  }

  async flattenVolume(name: string): Promise<void> {
    const volume = this.volume(name);
    if (!volume.replica.layers.some((each) => each.shared)) return;
    volume.replica.flattening = true;
    store({ ...volume.replica, clean: false });
    this.goOnFlattening(volume);
  }

  async formatEncryption(name: string, _format: LuksFormat, passphrase: Uint8Array): Promise<void> {
    const { replica } = this.volume(name);
    replica.passphrase = hexOf(passphrase);
    store({ ...replica, clean: false });
  }

  async unlockVolume(name: string, passphrase: Uint8Array): Promise<void> {
    const volume = this.volume(name);
    if (volume.replica.passphrase === undefined) fail('HEADER_DAMAGED', `${name} is not encrypted`);
    if (!slotsOf(volume.replica).includes(hexOf(passphrase))) fail('WRONG_KEY', 'no key slot opens');
    volume.unlocked = true;
    if (volume.replica.keyChange?.running) this.goOnReencrypting(volume);
  }

  async headerInfo(name: string): Promise<HeaderInfo> {
    const { replica } = this.volume(name);
    if (replica.passphrase === undefined) fail('HEADER_DAMAGED', `${name} is not encrypted`);
    const slots = [replica.passphrase, ...(replica.others ?? [])];
    const keySlots = slots.map((_slot, number) => ({ number, derivation: 'argon2id', memoryKib: 1, iterations: 1 }));
    return { uuid: replica.volumeId, sectorSize: 4096, keySlots };
  }

  async formatPoolDevice(): Promise<void> {
    fail('DEVICE_MAPPER_MISSING', 'there is no kernel behind this');
  }

  async openPoolDevice(): Promise<void> {
    fail('DEVICE_MAPPER_MISSING', 'there is no kernel behind this');
  }

  async closePoolDevice(): Promise<void> {}

  async addKey(name: string, known: Uint8Array, added: Uint8Array): Promise<void> {
    const { replica } = this.volume(name);
    const slots = slotsOf(replica);
    if (!slots.includes(hexOf(known))) fail('WRONG_KEY', 'no key slot opens');
    if (!slots.includes(hexOf(added))) replica.others = [...(replica.others ?? []), hexOf(added)];
    store({ ...replica, clean: false });
  }

  async removeKey(name: string, removed: Uint8Array, kept: Uint8Array): Promise<void> {
    const { replica } = this.volume(name);
    const left = slotsOf(replica).filter((slot) => slot !== hexOf(removed));
    if (!left.includes(hexOf(kept))) fail('INVALID_ARGUMENT', 'nothing else opens it');
    const [passphrase = '', ...others] = left;
    Object.assign(replica, { passphrase, others });
    store({ ...replica, clean: false });
  }

  async backupHeader(name: string, path: string): Promise<void> {
    if (existsSync(path)) fail('EEXIST', `${path} exists`);
    writeFileSync(path, JSON.stringify(slotsOf(this.volume(name).replica)));
  }

  async restoreHeader(name: string, path: string): Promise<void> {
    const { replica, unlocked } = this.volume(name);
    if (unlocked) fail('VOLUME_IN_USE', `${name} is unlocked`);
    const [passphrase = '', ...others] = JSON.parse(readFileSync(path, 'utf8')) as string[];
    Object.assign(replica, { passphrase, others });
    store({ ...replica, clean: false });
  }

  async reencryptVolume(name: string, id: string, passphrase: Uint8Array): Promise<void> {
    const volume = this.volume(name);
    const { replica } = volume;
    if (!volume.unlocked) fail('VOLUME_KEY_MISSING', `${name} is locked`);
    if (!slotsOf(replica).includes(hexOf(passphrase))) fail('WRONG_KEY', 'no key slot opens');
    if (replica.keyChange?.id === id) return;
    replica.keyChange = { id, running: true };
    store({ ...replica, clean: false });
    this.goOnReencrypting(volume);
  }

  async startScrub(name: string): Promise<void> {
    const volume = this.volume(name);
    if (volume.scrub.state === 'running') fail('SCRUB_RUNNING', `${name} is being scrubbed`);
    volume.scrub = { ...noScrub, state: 'running' };
    this.later(volume, () => {
      const file = join(volume.replica.directory, 'damaged');
      const damaged = existsSync(file) ? readFileSync(file, 'utf8').split('\n') : [];
      const findings = volume.replica.layers
        .filter(({ id }) => damaged.includes(id))
        .map(({ id }) => `layer ${id} is damaged`);
      const blocks = { blocksChecked: volume.replica.layers.length, blocksDamaged: findings.length };
      volume.scrub = { ...noScrub, ...blocks, state: 'finished', progress: 1, findings };
      this.onEvent({ kind: 'scrub-finished', volume: name, message: `${findings.length} blocks are damaged` });
    });
  }

  async setTls(settings: TlsSettings): Promise<void> {
    this.tls = settings;
  }

  async createSnapshot(name: string, snapshotId: string, snapshotName: string): Promise<void> {
    const { replica } = this.volume(name);
    if (replica.layers.some((each) => each.id === snapshotId)) fail('SNAPSHOT_EXISTS', `${snapshotId} exists`);
    const head = replica.layers.at(-1) as LayerInfo;
    const frozen = { ...head, id: snapshotId, name: snapshotName };
    replica.layers.splice(-1, 1, frozen, layer(`head-${replica.heads++}`, snapshotId));
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
    const volume = exported.volume === null ? undefined : this.volume(exported.volume);
    if (volume && exported.decrypted && !volume.unlocked) fail('VOLUME_KEY_MISSING', `${volume.name} is locked`);
    this.exports.set(exported.name, exported);
  }

  async removeExport(name: string, force: boolean): Promise<void> {
    const exported = this.exports.get(name) ?? fail('EXPORT_MISSING', `no export ${name}`);
    const clients = exported.volume === null ? new Set<Socket>() : this.volume(exported.volume).clients;
    if (clients.size > 0 && !force) fail('VOLUME_IN_USE', `${name} has clients`);
    for (const client of clients) client.destroy();
    this.exports.delete(name);
  }

  async addTarget(target: NewTarget & { access: Access }): Promise<void> {
    this.assertNotClosed();
    const volume = target.volume === null ? undefined : this.volume(target.volume);
    if (volume && target.decrypted && !volume.unlocked) fail('VOLUME_KEY_MISSING', `${volume.name} is locked`);
    this.targets.add(target);
  }

  async removeTarget(name: string): Promise<void> {
    this.targets.remove(name);
  }

  async setTargetAccess(name: string, access: Access): Promise<void> {
    this.targets.setAccess(name, access);
  }

  async setSpaceLow(): Promise<void> {}

  async setDiscovery(): Promise<void> {}

  listenIscsi(host: string, port: number): Promise<{ host: string; port: number }> {
    return this.listenTcp(host, port);
  }

  unlistenIscsi(host: string, port: number): Promise<void> {
    return this.unlistenTcp(host, port);
  }

  listenIscsiHandover(path: string): Promise<void> {
    return this.listenUnix(path);
  }

  async listenTcp(host: string, port: number): Promise<{ host: string; port: number }> {
    const server = await this.listen({ host, port });
    return { host, port: (server.address() as { port: number }).port };
  }

  async unlistenTcp(host: string, port: number): Promise<void> {
    const at = this.servers.findIndex((server) => {
      const bound = server.address();
      return typeof bound === 'object' && bound?.address === host && bound.port === port;
    });
    if (at >= 0) this.servers.splice(at, 1)[0]?.close();
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
    for (const timer of volume.work) clearTimeout(timer);
    this.volumes.delete(volume.name);
    store({ ...volume.replica, clean: true });
    rmSync(join(volume.replica.directory, 'lock'), { force: true });
  }

  private merge(volume: OpenVolume, id: string): void {
    this.later(volume, () => {
      const { replica } = volume;
      const gone = this.snapshot(volume, id);
      replica.layers = replica.layers.filter((each) => each !== gone);
      for (const child of replica.layers) if (child.parent === id) child.parent = gone.parent;
      store({ ...replica, clean: false });
      this.onEvent({ kind: 'merge-finished', volume: volume.name, message: id });
    });
  }

  private goOnFlattening(volume: OpenVolume): void {
    this.later(volume, () => {
      const { replica } = volume;
      replica.flattening = false;
      for (const each of replica.layers) each.shared = false;
      store({ ...replica, clean: false });
      this.onEvent({ kind: 'flatten-finished', volume: volume.name, message: '' });
    });
  }

  private goOnReencrypting(volume: OpenVolume): void {
    this.later(volume, () => {
      const { replica } = volume;
      if (!replica.keyChange?.running) return;
      replica.keyChange.running = false;
      store({ ...replica, clean: false });
      this.onEvent({ kind: 'reencryption-finished', volume: volume.name, message: '' });
    });
  }

  private later(volume: OpenVolume, work: () => void): void {
    const timer = setTimeout(
      () => {
        volume.work.delete(timer);
        work();
      },
      Number(process.env['CAIRN_FAKE_MERGE_MS'] ?? 20),
    );
    volume.work.add(timer);
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
    if (!exported || this.tls.mode === 'require') return void socket.end(`no ${name}\n`);
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

function infoOf({ name, cacheMode, limits, replica, clients, recovered, scrub, unlocked }: OpenVolume): VolumeInfo {
  const { directory, volumeId, sizeBytes, blockSize } = replica;
  const zero = { reads: 0, readBytes: 0, writes: 0, writtenBytes: 0, flushes: 0, trims: 0, trimmedBytes: 0 };
  return {
    name,
    directory,
    volumeId,
    sizeBytes,
    blockSize,
    cacheMode,
    limits,
    recovered,
    layers: structuredClone(replica.layers),
    counters: { ...zero, writeZeroes: 0, errors: 0, throttled: 0, throttledMs: 0 },
    clients: clients.size,
    failure: null,
    flatten: replica.flattening ? { progress: 0.5, problem: '' } : null,
    reencryption: unlocked && replica.keyChange?.running ? { progress: 0.5, problem: '' } : null,
    scrub: structuredClone(scrub),
    unlocked,
  };
}

function layer(id: string, parent: string | null): LayerInfo {
  const state = { removed: false, inChain: true, mergeProgress: 0, shared: false, checksummed: false };
  return { id, name: null, parent, allocatedBytes: 0, createdMs: Date.now(), ...state };
}

const noScrub: ScrubInfo = {
  state: 'never',
  progress: 0,
  blocksChecked: 0,
  blocksDamaged: 0,
  blocksUnverified: 0,
  repaired: 0,
  findings: [],
};

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

function slotsOf({ passphrase, others = [] }: StoredReplica): string[] {
  return passphrase === undefined ? [] : [passphrase, ...others];
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
