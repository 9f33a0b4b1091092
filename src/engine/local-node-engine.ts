/**
 * The engine of the node that the service runs on: places volumes in data-plane processes and keeps those running.
 *
 * `isolation: node` puts all volumes into the process `node`, which listens too. `isolation: volume` lets `front` listen and
 * gives each volume a process `volume-NAME`. A changed setting never interrupts I/O: attached volumes stay in their processes until they
 * are detached, the process that listens goes on listening while any volume is open, and volumes attached from then on go where
 * the setting says.
 */
import { hasCode, CairnError, toCairnError } from '../errors.js';
import type { Event, GetStateResponse, Volume } from '../generated/cairn/dataplane/v1/data_plane_pb.js';
import { ClosedVolumes } from './closed-volumes.js';
import { DataPlaneFleet } from './data-plane-fleet.js';
import { DataPlaneLauncher, type LauncherOptions } from './data-plane-launcher.js';
import { fromWireVolume, toWireLimits, toWireTls } from './data-plane-messages.js';
import { HeldVolumes, type HeldVolume } from './held-volumes.js';
import { IscsiFront, targetNameOf, type IscsiSettings } from './iscsi-front.js';
import type { KeyRef, KeySource } from '../keys/key-source.js';
import { KernelPoolDevices } from './kernel-pool-devices.js';
import { KeyedQueue } from './keyed-queue.js';
import type { CloneTarget, HeaderInfo, LayerInfo, LuksFormat, TlsSettings } from './native.js';
import { isFront, NbdFront, type NbdAddress } from './nbd-front.js';
import {
  serves,
  volumeEventKinds,
  without,
  type Attachment,
  type DataPlaneProcess,
  type EngineEvent,
  type FollowDeletion,
  type Frontend,
  type Isolation,
  type NewReplicaSpec,
  type NodeEngine,
  type RunningVolume,
  type SeenVolume,
  type VolumeEventKind,
  type VolumeSpec,
} from './node-engine.js';
import { Passphrases } from './passphrases.js';
import type { PoolDevices } from './pool-devices.js';
import type { Log } from './process-log.js';
import { accepting, holdsReplica } from './repeated-calls.js';
import { RunDirectory } from './run-directory.js';
import type { DataPlaneCalls, RunningProcess } from './supervised-process.js';
import { VolumeKeys } from './volume-keys.js';
import { runningVolume, seenVolume, unlessGone } from './volume-reports.js';
import { isWorkedOn, WorkWatch } from './work-watch.js';

export interface LocalNodeEngineOptions extends LauncherOptions {
  isolation: Isolation;
  nbd: NbdAddress;
  iscsi: IscsiSettings;
  tls: TlsSettings;
  keys: KeySource;
  log: Log;
}

export class LocalNodeEngine implements NodeEngine {
  private readonly directory: RunDirectory;
  private readonly fleet: DataPlaneFleet;
  private readonly front: NbdFront;
  private readonly iscsi: IscsiFront;
  private readonly held: HeldVolumes;
  private readonly volumeKeys: VolumeKeys;
  private readonly queue = new KeyedQueue();
  private readonly closed = new ClosedVolumes();
  private readonly work: WorkWatch;
  private frontProcess: string;
  private onEvent: (event: EngineEvent) => void = () => {};

  /** What the kernel does for pools; key work goes to the process that listens. */
  readonly poolDevices: PoolDevices;

  constructor(private readonly options: LocalNodeEngineOptions) {
    this.directory = new RunDirectory(options.runDirectory);
    const hooks = {
      prepare: (process: RunningProcess) => this.prepare(process),
      started: ({ id, pid }: RunningProcess, restarted: boolean) =>
        this.onEvent({ kind: 'process-started', process: id, pid, restarted }),
      died: (process: RunningProcess, signal: string | null) => this.died(process, signal),
      event: (event: Event) => this.handle(event),
    };
    this.fleet = new DataPlaneFleet(this.directory, new DataPlaneLauncher(options), hooks, options.log);
    this.front = new NbdFront(this.directory, options.nbd, options.tls.mode === 'require');
    this.iscsi = new IscsiFront(this.directory, options.iscsi, options.keys);
    this.frontProcess = frontOf(options.isolation);
    const passphrases = new Passphrases(options.keys);
    this.volumeKeys = new VolumeKeys((spec, operation) => this.withOpen(spec, operation), passphrases);
    this.held = new HeldVolumes(this.fleet, this.front, this.iscsi, passphrases, () => this.frontProcess, options.log);
    const frontCalls = async () => (await this.fleet.ensure(this.frontProcess)).calls;
    this.poolDevices = new KernelPoolDevices(frontCalls, options.keys);
    this.work = new WorkWatch((name) => this.queue.run(name, () => this.closeOperation(name, true)), options.log);
  }

  async start(onEvent: (event: EngineEvent) => void): Promise<void> {
    this.onEvent = onEvent;
    this.directory.create();
    const found = await this.fleet.discover();
    this.frontProcess = frontAmong(found, frontOf(this.options.isolation));
    for (const [id, state] of found) this.held.adopt(id, state);
    // The holders first: the front hands connections over to them.
    const holders = [...found.keys()].filter((id) => id !== this.frontProcess);
    await Promise.all(holders.map((id) => this.fleet.ensure(id)));
    await Promise.all(holders.map((id) => this.endIfIdle(id)));
    await this.fleet.ensure(this.frontProcess);
  }

  async release(): Promise<void> {
    this.work.stop();
    await this.fleet.release();
  }

  async shutdown(): Promise<void> {
    this.work.stop();
    await this.fleet.shutdown(this.frontProcess);
  }

  processes(): DataPlaneProcess[] {
    return this.fleet.running().map(({ id, pid, startTimeMs, version }) => {
      return { id, pid, startTimeMs, version, volumes: this.held.in(id).map(({ spec }) => spec.name) };
    });
  }

  async createReplica(replica: NewReplicaSpec): Promise<void> {
    const { calls } = await this.fleet.ensure(this.frontProcess);
    try {
      await calls.createReplica({ ...replica, sizeBytes: BigInt(replica.sizeBytes) });
    } catch (error) {
      if (!hasCode(error, 'replica-exists') || !(await holdsReplica(calls, replica))) throw error;
    }
  }

  async deleteReplica(directory: string, follow?: FollowDeletion): Promise<void> {
    const held = this.held.all().find(({ spec }) => spec.directory === directory);
    if (held) await this.queue.run(held.spec.name, () => this.closeForDelete(held.spec.name));
    this.closed.forget(directory);
    const { calls } = await this.fleet.ensure(this.frontProcess);
    for (;;) {
      const { finished, progress } = await calls.deleteReplica({ directory });
      follow?.onProgress(progress);
      if (finished) return;
      follow?.signal.throwIfAborted();
    }
  }

  attach(spec: VolumeSpec, frontend: Frontend): Promise<Attachment> {
    return this.queue.run(spec.name, async () => {
      const before = this.held.get(spec.name);
      // Whoever writes to the ciphertext may change the key: what is unlocked is locked again.
      const mustReopen = before?.spec.cacheMode !== spec.cacheMode || spec.raw;
      if (before?.purpose === 'operation' && mustReopen) await this.close(before);
      const held = await this.open(spec, 'attached');
      await this.held.withdraw(held, without(held.frontend, frontend), false);
      if (frontend !== 'none') await this.held.serve(held, frontend);
      return { uris: this.urisOf(spec.name, frontend) };
    });
  }

  detach(volume: string, force: boolean): Promise<void> {
    return this.queue.run(volume, async () => {
      const held = this.held.get(volume);
      if (!held) return this.held.removeFromFront(volume, 'both');
      if (!this.fleet.find(held.process)) return this.abandon(held);
      await this.held.withdraw(held, held.frontend, force);
      held.purpose = 'operation';
      await this.closeOperation(volume, false);
    });
  }

  async running(volume: string): Promise<RunningVolume | null> {
    const held = this.held.get(volume);
    const process = held && this.fleet.find(held.process);
    if (!process || held.purpose !== 'attached') return null;
    const answer = await unlessGone(process.calls.getVolume({ volume }));
    return answer?.volume ? runningVolume(answer.volume, this.reachable(held)) : null;
  }

  async allRunning(): Promise<RunningVolume[]> {
    const open = await this.openVolumes();
    const attached = open.filter(([, { purpose }]) => purpose === 'attached');
    return attached.map(([volume, held]) => runningVolume(volume, this.reachable(held)));
  }

  async seen(volume: string): Promise<SeenVolume | null> {
    const held = this.held.get(volume);
    if (!held) return this.closed.get(volume) ?? null;
    const answer = await unlessGone(this.fleet.find(held.process)?.calls.getVolume({ volume }));
    if (answer?.volume) return seenVolume(answer.volume, held);
    return this.closed.get(volume) ?? null; // closed while it was asked
  }

  async allSeen(): Promise<SeenVolume[]> {
    const open = (await this.openVolumes()).map(([volume, held]) => seenVolume(volume, held));
    return [...open, ...this.closed.all().filter(({ name }) => !this.held.get(name))];
  }

  allocatedBytes(directory: string): Promise<number | null> {
    return this.closed.allocatedBytes(directory);
  }

  layers(spec: VolumeSpec): Promise<LayerInfo[]> {
    return this.withOpen(spec, async (calls) => {
      const { volume } = await calls.getVolume({ volume: spec.name });
      return volume ? fromWireVolume(volume).layers : [];
    });
  }

  createSnapshot(spec: VolumeSpec, snapshotId: string, name: string): Promise<void> {
    return this.withOpen(spec, async (calls) => {
      await accepting('snapshot-exists', calls.createSnapshot({ volume: spec.name, snapshotId, name }));
    });
  }

  deleteSnapshot(spec: VolumeSpec, snapshotId: string): Promise<void> {
    return this.withOpen(spec, async (calls) => {
      await accepting('snapshot-not-found', calls.deleteSnapshot({ volume: spec.name, snapshotId }));
    });
  }

  revertSnapshot(spec: VolumeSpec, snapshotId: string): Promise<void> {
    return this.withOpen(spec, async (calls) => {
      await calls.revertSnapshot({ volume: spec.name, snapshotId });
    });
  }

  cloneSnapshot(spec: VolumeSpec, target: CloneTarget): Promise<void> {
    return this.withOpen(spec, async (calls) => {
      try {
        await calls.cloneSnapshot({ volume: spec.name, ...target });
      } catch (error) {
        if (!hasCode(error, 'replica-exists') || !(await holdsReplica(calls, target))) throw error;
      }
    });
  }

  withdraw(volume: string, frontend: Frontend, force: boolean): Promise<void> {
    return this.queue.run(volume, async () => {
      const held = this.held.get(volume);
      if (held) await this.held.withdraw(held, frontend, force);
    });
  }

  setAccess(spec: VolumeSpec): Promise<void> {
    return this.queue.run(spec.name, async () => {
      const held = this.held.get(spec.name);
      if (!held) return;
      const before = { spec: held.spec, isFound: held.isFound };
      Object.assign(held, { spec: { ...held.spec, access: spec.access }, isFound: false });
      if (!serves(held.frontend, 'iscsi')) return;
      try {
        await this.held.serve(held, held.frontend);
      } catch (error) {
        Object.assign(held, before); // a process that starts again lets in whom the records name
        throw error;
      }
    });
  }

  async setSpaceLow(volume: string, low: boolean): Promise<void> {
    const held = this.held.get(volume);
    if (!held || !serves(held.frontend, 'iscsi')) return;
    await this.fleet.find(held.process)?.calls.setSpaceLow({ name: targetNameOf(volume), low });
  }

  setLimits(spec: VolumeSpec): Promise<void> {
    return this.queue.run(spec.name, async () => {
      const held = this.held.get(spec.name);
      if (!held) return;
      const { calls } = await this.fleet.ensure(held.process);
      await calls.setLimits({ volume: spec.name, limits: toWireLimits(spec.limits) });
      held.spec = spec;
    });
  }

  resize(spec: VolumeSpec): Promise<void> {
    return this.withOpen(spec, async (calls, held) => {
      await calls.resizeVolume({ volume: spec.name, sizeBytes: BigInt(spec.sizeBytes) });
      held.spec = spec;
    });
  }

  flatten(spec: VolumeSpec): Promise<boolean> {
    return this.withOpen(spec, async (calls) => {
      const before = await calls.getVolume({ volume: spec.name });
      if (before.volume?.flatten) return true;
      if (!before.volume?.layers.some(({ shared }) => shared)) return false;
      const { volume } = await calls.flattenVolume({ volume: spec.name });
      return volume?.flatten !== undefined;
    });
  }

  formatEncryption(spec: VolumeSpec, format: LuksFormat): Promise<void> {
    return this.volumeKeys.format(spec, format);
  }

  header(spec: VolumeSpec): Promise<HeaderInfo> {
    return this.volumeKeys.header(spec);
  }

  addKey(spec: VolumeSpec, added: KeyRef): Promise<void> {
    return this.volumeKeys.add(spec, added);
  }

  removeKey(spec: VolumeSpec, removed: KeyRef): Promise<void> {
    return this.volumeKeys.remove(spec, removed);
  }

  backupHeader(spec: VolumeSpec, path: string): Promise<void> {
    return this.volumeKeys.backUp(spec, path);
  }

  async restoreHeader(spec: VolumeSpec, path: string, force: boolean): Promise<void> {
    await this.queue.run(spec.name, async () => {
      const held = this.held.get(spec.name);
      if (held?.purpose === 'operation') await this.close(held); // it may be unlocked
    });
    await this.volumeKeys.restore(spec, path, force);
  }

  reencrypt(spec: VolumeSpec, id: string): Promise<boolean> {
    return this.volumeKeys.reencrypt(spec, id);
  }

  startScrub(spec: VolumeSpec): Promise<void> {
    return this.withOpen(spec, async (calls) => {
      await calls.startScrub({ volume: spec.name });
    });
  }

  async reloadTls(): Promise<void> {
    await Promise.all(this.fleet.running().map((process) => this.setTls(process)));
  }

  /** What nobody listens for is not served: whoever wants it attaches it again. */
  private reachable(held: HeldVolume): HeldVolume {
    return this.iscsi.isDown ? { ...held, frontend: without(held.frontend, 'iscsi') } : held;
  }

  private urisOf(volume: string, frontend: Frontend): string[] {
    return [
      ...(serves(frontend, 'nbd') ? this.front.urisOf(volume) : []),
      ...(serves(frontend, 'iscsi') ? this.iscsi.urisOf(volume) : []),
    ];
  }

  /** A detached volume is opened for the operation, and stays open while work goes on in the background. */
  private withOpen<Result>(
    spec: VolumeSpec,
    operation: (calls: DataPlaneCalls, held: HeldVolume) => Promise<Result>,
  ): Promise<Result> {
    return this.queue.run(spec.name, async () => {
      const held = this.held.get(spec.name) ?? (await this.open(spec, 'operation'));
      try {
        const { calls } = await this.fleet.ensure(held.process);
        return await operation(calls, held);
      } finally {
        await this.closeOperation(spec.name, false);
      }
    });
  }

  private async open(spec: VolumeSpec, purpose: HeldVolume['purpose']): Promise<HeldVolume> {
    const process = this.held.get(spec.name)?.process ?? this.placementOf(spec.name);
    this.closed.forget(spec.directory);
    try {
      return await this.held.open(spec, process, purpose);
    } catch (error) {
      await this.endIfIdle(process);
      throw error;
    }
  }

  /** Closes a volume that nobody attached, unless it is worked on; `isGivenUp` closes it all the same: its next open goes on. */
  private async closeOperation(name: string, isGivenUp: boolean): Promise<void> {
    const held = this.held.get(name);
    if (held?.purpose !== 'operation') return;
    const { calls } = await this.fleet.ensure(held.process);
    const { volume } = await calls.getVolume({ volume: name });
    if (isWorkedOn(volume) && !isGivenUp) return this.work.watch(name, calls);
    if (volume) this.closed.remember(held.spec.directory, runningVolume(volume, held));
    await this.close(held);
  }

  /** What is open anywhere, with what is known of it here. */
  private async openVolumes(): Promise<[Volume, HeldVolume][]> {
    const states = await Promise.all(this.fleet.running().map(({ calls }) => unlessGone(calls.getState({}))));
    const volumes = states.flatMap((state) => state?.volumes ?? []);
    return volumes.flatMap((volume) => {
      const held = this.held.get(volume.name);
      return held ? [[volume, held] as [Volume, HeldVolume]] : [];
    });
  }

  /** A process of an earlier version knows no TLS; without it, it goes on serving. */
  private async setTlsIfKnown(process: RunningProcess): Promise<void> {
    try {
      await this.setTls(process);
    } catch (error) {
      if (this.options.tls.mode !== 'off') throw error;
      const { code, detail } = toCairnError(error);
      this.options.log('warn', 'TLS cannot be switched off', { process: process.id, code, detail });
    }
  }

  private async setTls({ calls }: RunningProcess): Promise<void> {
    await calls.setTls({ tls: toWireTls(this.options.tls) });
  }

  /** Lets go of a volume whose process is down, so that one that dies of its volume is not started for it for ever. */
  private async abandon(held: HeldVolume): Promise<void> {
    this.held.drop(held);
    if (held.process === this.frontProcess) return;
    await this.endIfIdle(held.process);
    await this.held.removeFromFront(held.spec.name, 'both');
  }

  private async closeForDelete(name: string): Promise<void> {
    const held = this.held.get(name);
    if (held?.purpose === 'attached')
      throw new CairnError('volume-attached', `Volume ${name} is attached. Detach it first.`);
    if (held) await this.close(held);
  }

  private async close(held: HeldVolume): Promise<void> {
    this.work.forget(held.spec.name);
    await this.held.close(held);
    await this.endIfIdle(held.process);
  }

  private async endIfIdle(process: string): Promise<void> {
    if (process !== this.frontProcess && this.held.in(process).length === 0) await this.fleet.end(process);
  }

  private placementOf(volume: string): string {
    return this.options.isolation === 'node' ? 'node' : `volume-${volume}`;
  }

  /** Volumes before listeners, so that a client that connects again finds its volume. */
  private async prepare(process: RunningProcess): Promise<void> {
    await this.held.restore(process);
    await this.setTlsIfKnown(process);
    if (process.id === this.frontProcess) {
      await this.front.serve(process, this.held.handedOver());
      return this.serveIscsi(process);
    }
    const value = this.directory.handoverSocket(process.id);
    await process.calls.listen({ listener: { address: { case: 'handover', value } } });
    const iscsi = this.directory.iscsiHandoverSocket(process.id);
    // A process of an earlier version knows no iSCSI.
    await process.calls.listen({ listener: { address: { case: 'iscsiHandover', value: iscsi } } }).catch(() => {});
  }

  /** A process of an earlier version knows no iSCSI, and an occupied port is no reason to serve nobody. */
  private async serveIscsi({ id, calls }: RunningProcess): Promise<void> {
    try {
      await this.iscsi.restore(calls, this.held.handedOverTargets(), this.held.isIscsiNeeded());
    } catch (error) {
      const { code, detail } = toCairnError(error);
      this.options.log('error', 'iSCSI is not served', { process: id, code, detail });
    }
  }

  private died({ id, pid }: RunningProcess, signal: string | null): boolean {
    this.held.forgetOperationsIn(id);
    const isWanted = id === this.frontProcess || this.held.in(id).length > 0;
    if (!isWanted) this.fleet.forget(id);
    this.onEvent({ kind: 'process-died', process: id, pid, signal });
    return isWanted;
  }

  private handle({ kind, volume, message }: Event): void {
    if (!isVolumeEvent(kind)) return;
    if (kind.endsWith('-finished'))
      this.work.finished(volume, () => this.queue.run(volume, () => this.closeOperation(volume, false)));
    this.onEvent({ kind, volume, message });
  }
}

function isVolumeEvent(kind: string): kind is VolumeEventKind {
  return (volumeEventKinds as readonly string[]).includes(kind);
}

function frontOf(isolation: Isolation): string {
  return isolation === 'node' ? 'node' : 'front';
}

/** Who listens already goes on while any volume is open anywhere; else the setting decides. */
function frontAmong(found: ReadonlyMap<string, GetStateResponse>, bySetting: string): string {
  const isHolding = [...found.values()].some(({ volumes }) => volumes.length > 0);
  const listening = [...found].find(([, state]) => isFront(state));
  return isHolding && listening ? listening[0] : bySetting;
}
