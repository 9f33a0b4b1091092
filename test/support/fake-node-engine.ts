/**
 * A NodeEngine in memory that answers as the real one does. The data plane, its disk and its processes are one object, which outlives the
 * engines that are made over it: what a restarted service finds.
 */
import type { CloneTarget, HeaderInfo, LayerInfo, ScrubInfo, VolumeCounters } from '../../src/engine/native.js';
import {
  serves,
  without,
  type Attachment,
  type DataPlaneProcess,
  type EngineEvent,
  type FollowDeletion,
  type Frontend,
  type NewReplicaSpec,
  type NodeEngine,
  type RunningVolume,
  type SeenVolume,
  type VolumeSpec,
} from '../../src/engine/node-engine.js';
import { CairnError } from '../../src/errors.js';
import type { KeyRef } from '../../src/keys/key-source.js';

interface FakeReplica extends NewReplicaSpec {
  layers: LayerInfo[];
  flatten: { progress: number; problem: string } | null;
  /** `null`: none runs. */
  reencryption: { progress: number; problem: string } | null;
  /** The id of the last one. */
  volumeKey: string;
  /** The keys that open it. */
  slots: KeyRef[];
  scrub: ScrubInfo;
}

export const noScrub: ScrubInfo = {
  state: 'never',
  progress: 0,
  blocksChecked: 0,
  blocksDamaged: 0,
  blocksUnverified: 0,
  repaired: 0,
  findings: [],
};

const idle = { flatten: null, reencryption: null, volumeKey: 'first', slots: [], scrub: noScrub };

interface OpenVolume {
  spec: VolumeSpec;
  replica: FakeReplica;
  frontend: Frontend;
  clients: number;
  failure: string | null;
}

export class FakeDataPlane {
  readonly replicas = new Map<string, FakeReplica>();
  readonly open = new Map<string, OpenVolume>();
  pid = 1000;
  isAlive = false;

  layer(id: string, parent: string | null): LayerInfo {
    const state = { removed: false, inChain: true, mergeProgress: 0, shared: false, checksummed: false };
    return { id, name: null, parent, allocatedBytes: 4096, createdMs: 0, ...state };
  }

  /** Backups of headers: the keys that they open with, by their files. */
  readonly headers = new Map<string, KeyRef[]>();
  /** Volumes that this service has had open, by name: where. */
  readonly closed = new Map<string, VolumeSpec>();

  replica(spec: { directory: string }): FakeReplica {
    const replica = this.replicas.get(spec.directory);
    if (replica) return replica;
    throw new CairnError('replica-missing', `There is no replica in ${spec.directory}.`);
  }
}

export class FakeNodeEngine implements NodeEngine {
  /** The names of the calls made, e.g. `attach db`. */
  readonly calls: string[] = [];
  private readonly faults = new Map<string, (() => Promise<void>)[]>();
  private onEvent: (event: EngineEvent) => void = () => {};

  constructor(readonly dataPlane: FakeDataPlane = new FakeDataPlane()) {}

  /** Makes the next call of this name (`attach` or `attach db`) do something first, e.g. throw. */
  before(call: string, interfere: () => Promise<void>): void {
    this.faults.set(call, [...(this.faults.get(call) ?? []), interfere]);
  }

  failNext(call: string, error: CairnError, times = 1): void {
    for (let count = 0; count < times; count++) this.before(call, () => Promise.reject(error));
  }

  /** The process dies: what was open there is not any more. */
  kill(): void {
    const { dataPlane } = this;
    dataPlane.isAlive = false;
    dataPlane.open.clear();
    this.onEvent({ kind: 'process-died', process: 'node', pid: dataPlane.pid, signal: 'SIGKILL' });
  }

  /** It is up again, and empty. */
  restart(): void {
    this.dataPlane.isAlive = true;
    this.onEvent({ kind: 'process-started', process: 'node', pid: ++this.dataPlane.pid, restarted: true });
  }

  emit(event: EngineEvent): void {
    this.onEvent(event);
  }

  async start(onEvent: (event: EngineEvent) => void): Promise<void> {
    await this.called('start');
    this.onEvent = onEvent;
    this.dataPlane.isAlive = true;
    onEvent({ kind: 'process-started', process: 'node', pid: this.dataPlane.pid, restarted: false });
  }

  async release(): Promise<void> {
    await this.called('release');
    this.onEvent = () => {};
  }

  async shutdown(): Promise<void> {
    await this.called('shutdown');
    this.onEvent = () => {};
    this.dataPlane.open.clear();
    this.dataPlane.isAlive = false;
  }

  processes(): DataPlaneProcess[] {
    const { pid, open, isAlive } = this.dataPlane;
    return isAlive ? [{ id: 'node', pid, startTimeMs: 0, version: '0.0.0', volumes: [...open.keys()] }] : [];
  }

  async createReplica(replica: NewReplicaSpec): Promise<void> {
    await this.asked('createReplica');
    const existing = this.dataPlane.replicas.get(replica.directory);
    if (existing && existing.replicaId !== replica.replicaId)
      throw new CairnError('replica-exists', `${replica.directory} holds a replica.`);
    this.dataPlane.replicas.set(
      replica.directory,
      existing ?? { ...replica, layers: [this.dataPlane.layer('head-0', null)], ...idle },
    );
  }

  async deleteReplica(directory: string, follow?: FollowDeletion): Promise<void> {
    await this.asked('deleteReplica');
    follow?.onProgress(0.5);
    await this.called('deletingReplica');
    follow?.signal.throwIfAborted();
    const holder = [...this.dataPlane.open.values()].find(({ spec }) => spec.directory === directory);
    if (holder) throw new CairnError('volume-attached', `Volume ${holder.spec.name} is attached. Detach it first.`);
    this.dataPlane.replicas.delete(directory);
    for (const [name, spec] of this.dataPlane.closed)
      if (spec.directory === directory) this.dataPlane.closed.delete(name);
  }

  async attach(spec: VolumeSpec, frontend: Frontend): Promise<Attachment> {
    await this.asked('attach', spec.name);
    const replica = this.replicaOf(spec);
    if (!this.dataPlane.open.has(spec.name)) replica.sizeBytes = Math.max(replica.sizeBytes, spec.sizeBytes);
    const open = this.dataPlane.open.get(spec.name) ?? { spec, replica, frontend, clients: 0, failure: null };
    if (open.frontend === 'nbd' && frontend === 'none' && open.clients > 0) throw inUse(spec.name);
    this.dataPlane.open.set(spec.name, { ...open, spec, frontend });
    const nbd = serves(frontend, 'nbd') ? [`nbd://127.0.0.1:10809/${spec.name}`] : [];
    const iscsi = serves(frontend, 'iscsi') ? [`iscsi://127.0.0.1:3260/iqn.2026-11.io.cairn:${spec.name}/0`] : [];
    return { uris: [...nbd, ...iscsi] };
  }

  async detach(volume: string, force: boolean): Promise<void> {
    await this.asked('detach', volume);
    const clients = this.dataPlane.open.get(volume)?.clients ?? 0;
    if (clients > 0 && !force) throw inUse(volume);
    const open = this.dataPlane.open.get(volume);
    if (open) this.dataPlane.closed.set(volume, open.spec);
    this.dataPlane.open.delete(volume);
  }

  async seen(volume: string): Promise<SeenVolume | null> {
    await this.called('seen', volume);
    return this.allSeenNow().find(({ name }) => name === volume) ?? null;
  }

  async allSeen(): Promise<SeenVolume[]> {
    await this.called('allSeen');
    return this.allSeenNow();
  }

  async allocatedBytes(directory: string): Promise<number | null> {
    await this.called('allocatedBytes');
    const layers = this.dataPlane.replicas.get(directory)?.layers;
    return layers ? layers.reduce((sum, layer) => sum + layer.allocatedBytes, 0) : null;
  }

  async withdraw(volume: string, frontend: Frontend): Promise<void> {
    await this.asked(`withdraw ${frontend}`, volume);
    const open = this.dataPlane.open.get(volume);
    if (open) open.frontend = without(open.frontend, frontend);
  }

  async setAccess(spec: VolumeSpec): Promise<void> {
    await this.asked('setAccess', spec.name);
    const open = this.dataPlane.open.get(spec.name);
    if (open) open.spec = spec;
  }

  async setSpaceLow(volume: string, low: boolean): Promise<void> {
    await this.asked(`setSpaceLow ${low}`, volume);
  }

  async running(volume: string): Promise<RunningVolume | null> {
    await this.called('running', volume);
    const open = this.dataPlane.isAlive ? this.dataPlane.open.get(volume) : undefined;
    return open ? reportOf(open) : null;
  }

  async allRunning(): Promise<RunningVolume[]> {
    await this.called('allRunning');
    return this.dataPlane.isAlive ? [...this.dataPlane.open.values()].map(reportOf) : [];
  }

  async layers(spec: VolumeSpec): Promise<LayerInfo[]> {
    await this.asked('layers', spec.name);
    return structuredClone(this.replicaOf(spec).layers);
  }

  async createSnapshot(spec: VolumeSpec, snapshotId: string, name: string): Promise<void> {
    await this.asked('createSnapshot', spec.name);
    const { layers } = this.replicaOf(spec);
    const head = layers.pop();
    if (!head || layers.some(({ id }) => id === snapshotId)) return void (head && layers.push(head));
    layers.push({ ...head, id: snapshotId, name }, this.dataPlane.layer(`head-${layers.length + 1}`, snapshotId));
  }

  async deleteSnapshot(spec: VolumeSpec, snapshotId: string): Promise<void> {
    await this.asked('deleteSnapshot', spec.name);
    const replica = this.replicaOf(spec);
    const doomed = replica.layers.find(({ id }) => id === snapshotId);
    if (!doomed) return;
    replica.layers = replica.layers
      .filter((layer) => layer !== doomed)
      .map((layer) => (layer.parent === snapshotId ? { ...layer, parent: doomed.parent } : layer));
    this.onEvent({ kind: 'merge-finished', volume: spec.name, message: `Snapshot ${snapshotId} is merged.` });
  }

  async revertSnapshot(spec: VolumeSpec, snapshotId: string): Promise<void> {
    await this.asked('revertSnapshot', spec.name);
    const { layers } = this.replicaOf(spec);
    if ((this.dataPlane.open.get(spec.name)?.clients ?? 0) > 0) throw inUse(spec.name);
    if (!layers.some(({ id }) => id === snapshotId))
      throw new CairnError('snapshot-not-found', `There is no snapshot ${snapshotId}.`);
    layers.pop();
    layers.push(this.dataPlane.layer(`head-${layers.length + 1}`, snapshotId));
  }

  async cloneSnapshot(spec: VolumeSpec, { snapshotId, directory, volumeId, replicaId }: CloneTarget): Promise<void> {
    await this.asked('cloneSnapshot', spec.name);
    const { layers, sizeBytes, blockSize } = this.replicaOf(spec);
    const cloned = layers.findIndex(({ id }) => id === snapshotId);
    if (cloned < 0) throw new CairnError('snapshot-not-found', `There is no snapshot ${snapshotId}.`);
    const existing = this.dataPlane.replicas.get(directory);
    if (existing && existing.replicaId !== replicaId)
      throw new CairnError('replica-exists', `${directory} holds a replica.`);
    if (existing) return;
    const shared = layers.slice(0, cloned + 1).map((layer) => ({ ...layer, shared: true }));
    const head = this.dataPlane.layer('head-1', snapshotId);
    const replica = { directory, volumeId, replicaId, sizeBytes, blockSize, layers: [...shared, head] };
    this.dataPlane.replicas.set(directory, { ...replica, ...idle });
  }

  async setLimits(spec: VolumeSpec): Promise<void> {
    await this.asked('setLimits', spec.name);
    const open = this.dataPlane.open.get(spec.name);
    if (open) open.spec = spec;
  }

  async resize(spec: VolumeSpec): Promise<void> {
    await this.asked('resize', spec.name);
    this.replicaOf(spec).sizeBytes = spec.sizeBytes;
  }

  /** Goes on until {@link finishFlatten}. */
  async flatten(spec: VolumeSpec): Promise<boolean> {
    await this.asked('flatten', spec.name);
    const replica = this.replicaOf(spec);
    if (replica.layers.some(({ shared }) => shared)) replica.flatten ??= { progress: 0.25, problem: '' };
    return replica.flatten !== null;
  }

  finishFlatten(volumeId: string): void {
    const replica = [...this.dataPlane.replicas.values()].find((each) => each.volumeId === volumeId);
    if (replica) Object.assign(replica, { flatten: null, layers: replica.layers.filter(({ shared }) => !shared) });
  }

  async formatEncryption(spec: VolumeSpec): Promise<void> {
    await this.asked('formatEncryption', spec.name);
    this.replicaOf(spec).slots = [ownKeyOf(spec)];
  }

  async header(spec: VolumeSpec): Promise<HeaderInfo> {
    await this.asked('header', spec.name);
    const keySlots = this.replicaOf(spec).slots.map((_key, number) => {
      return { number, derivation: 'argon2id', memoryKib: 65_536, iterations: 4 };
    });
    return { uuid: 'c0ffee00-0000-4000-8000-000000000000', sectorSize: 4096, keySlots };
  }

  async addKey(spec: VolumeSpec, added: KeyRef): Promise<void> {
    await this.asked('addKey', spec.name);
    const replica = this.openedWithKey(spec);
    if (!replica.slots.some((each) => isSameKey(each, added))) replica.slots = [...replica.slots, added];
  }

  async removeKey(spec: VolumeSpec, removed: KeyRef): Promise<void> {
    await this.asked('removeKey', spec.name);
    const replica = this.openedWithKey(spec);
    if (isSameKey(ownKeyOf(spec), removed)) throw new CairnError('invalid-request', 'Nothing else opens it.');
    replica.slots = replica.slots.filter((each) => !isSameKey(each, removed));
  }

  async backupHeader(spec: VolumeSpec, path: string): Promise<void> {
    await this.asked('backupHeader', spec.name);
    this.replicaOf(spec);
    this.dataPlane.headers.set(path, this.replicaOf(spec).slots);
  }

  async restoreHeader(spec: VolumeSpec, path: string, force: boolean): Promise<void> {
    await this.asked('restoreHeader', spec.name);
    const slots = this.dataPlane.headers.get(path);
    if (!slots && !force) throw new CairnError('invalid-request', `${path} is no backup.`);
    this.replicaOf(spec).slots = slots ?? [];
  }

  private openedWithKey(spec: VolumeSpec): FakeReplica {
    const replica = this.replicaOf(spec);
    if (replica.slots.some((each) => isSameKey(each, ownKeyOf(spec)))) return replica;
    throw new CairnError('wrong-passphrase', 'No key slot opens with this passphrase.');
  }

  /** Goes on until {@link finishReencryption}. */
  async reencrypt(spec: VolumeSpec, id: string): Promise<boolean> {
    await this.asked('reencrypt', spec.name);
    const replica = this.replicaOf(spec);
    if (replica.volumeKey !== id)
      Object.assign(replica, { volumeKey: id, reencryption: { progress: 0.25, problem: '' } });
    return replica.reencryption !== null;
  }

  finishReencryption(volume: string): void {
    for (const replica of this.dataPlane.replicas.values()) replica.reencryption = null;
    this.onEvent({ kind: 'reencryption-finished', volume, message: `Volume ${volume} has its new volume key.` });
  }

  async startScrub(spec: VolumeSpec): Promise<void> {
    await this.asked('startScrub', spec.name);
    const replica = this.replicaOf(spec);
    if (replica.scrub.state === 'running')
      throw new CairnError('scrub-running', `Volume ${spec.name} is being scrubbed.`);
    replica.scrub = { ...noScrub, state: 'running', progress: 0.5 };
  }

  finishScrub(volume: string, result: Partial<ScrubInfo>): void {
    const scrubbed = [...this.dataPlane.replicas.values()].find(({ scrub }) => scrub.state === 'running');
    if (scrubbed) scrubbed.scrub = { ...noScrub, state: 'finished', progress: 1, ...result };
    this.onEvent({ kind: 'scrub-finished', volume, message: `The scrub of volume ${volume} has finished.` });
  }

  async reloadTls(): Promise<void> {
    await this.asked('reloadTls');
  }

  private allSeenNow(): SeenVolume[] {
    const { open, closed, isAlive } = this.dataPlane;
    const attached = isAlive ? [...open.values()].map(reportOf) : [];
    const others = [...closed.values()].filter(({ name }) => !open.has(name));
    return [
      ...attached.map((volume) => ({ ...volume, openness: 'attached' as const })),
      ...others.map((spec) => {
        const replica = this.dataPlane.replica(spec);
        const volume = reportOf({ spec, replica, frontend: 'none', clients: 0, failure: null });
        return { ...volume, openness: 'closed' as const };
      }),
    ];
  }

  /** Of a detached volume, the operation opens and closes it. */
  private replicaOf(spec: VolumeSpec): FakeReplica {
    const replica = this.dataPlane.replica(spec);
    this.dataPlane.closed.set(spec.name, spec);
    return replica;
  }

  /** A call that needs a process. */
  private async asked(call: string, volume = ''): Promise<void> {
    await this.called(call, volume);
    if (!this.dataPlane.isAlive) throw new CairnError('data-plane-unavailable', 'The data-plane process does not run.');
  }

  private async called(call: string, volume = ''): Promise<void> {
    this.calls.push(`${call} ${volume}`.trim());
    await this.faults.get(`${call} ${volume}`)?.shift()?.();
    await this.faults.get(call)?.shift()?.();
  }
}

function ownKeyOf({ encryption }: VolumeSpec): KeyRef {
  return encryption?.key ?? { provider: 'none', key: 'none' };
}

function isSameKey(one: KeyRef, other: KeyRef): boolean {
  return one.provider === other.provider && one.key === other.key;
}

function inUse(volume: string): CairnError {
  return new CairnError('volume-in-use', `Volume ${volume} has clients. Disconnect them first, or force it.`);
}

function reportOf({ spec, replica, frontend, clients, failure }: OpenVolume): RunningVolume {
  const { sizeBytes, blockSize, layers, flatten, reencryption, scrub } = replica;
  return {
    name: spec.name,
    sizeBytes,
    blockSize,
    layers: structuredClone(layers),
    counters,
    limits: spec.limits,
    clients,
    frontend,
    failure,
    flatten,
    reencryption,
    scrub,
  };
}

const counters: VolumeCounters = {
  reads: 1,
  readBytes: 4096,
  writes: 2,
  writtenBytes: 8192,
  flushes: 3,
  trims: 4,
  trimmedBytes: 16_384,
  writeZeroes: 5,
  errors: 6,
  throttled: 7,
  throttledMs: 8500,
};
