/**
 * The gRPC service of a data-plane process: checks what it is told, does it on the addon, and remembers what it holds
 * so that a restarted `cairn serve` can ask.
 */
import type { MessageInitShape } from '@bufbuild/protobuf';
import type {
  DataPlane,
  EventSchema,
  GetStateResponseSchema,
  Listener,
  ListenerSchema,
  VolumeSchema,
} from '../generated/cairn/dataplane/v1/data_plane_pb.js';
import { CairnError, hasCode, toCairnError } from '../errors.js';
import { keepOutOfCoreDumps } from '../keys/core-dumps.js';
import type { Outgoing, ServiceHandlers } from './grpc-adapter.js';
import {
  fromWireAccess,
  fromWireCacheMode,
  fromWireExport,
  fromWireLimits,
  fromWireTarget,
  fromWireTls,
  secretsOf,
  toWireExport,
  toWireTarget,
  toWireVolume,
} from './data-plane-messages.js';
import { KeyedQueue } from './keyed-queue.js';
import {
  areLimitsEqual,
  type Access,
  type Limits,
  type NativeDataPlane,
  type NewExport,
  type NewTarget,
  type VolumeToOpen,
} from './native.js';
import type { Log, LogFields } from './process-log.js';
import { ReplicaRemovals } from './replica-removals.js';

export interface DataPlaneIdentity {
  id: string;
  version: string;
  startTimeMs: number;
}

type EventInit = MessageInitShape<typeof EventSchema>;
type ListenerInit = MessageInitShape<typeof ListenerSchema>;
type VolumeInit = MessageInitShape<typeof VolumeSchema>;
type NativeEventReport = { kind: string; volume: string; message: string };

/** Events that are kept for a service to come; of more, the newest. */
const unheardMax = 1000;

export class DataPlaneService {
  private readonly volumes = new Map<string, VolumeToOpen>();
  private readonly exports = new Map<string, NewExport>();
  private readonly targets = new Map<string, NewTarget>();
  /** By what was asked for, which may have left the port open; the value is what was bound. */
  private readonly listeners = new Map<string, ListenerInit>();
  private readonly watchers = new Set<Outgoing<EventInit>>();
  /** What happened while no service watched, as when volumes are opened again after a crash: for the next one. */
  private unheard: EventInit[] = [];
  private readonly queue = new KeyedQueue();
  private readonly removals = new ReplicaRemovals();
  private readonly ended = new AbortController();

  constructor(
    private readonly native: NativeDataPlane,
    private readonly identity: DataPlaneIdentity,
    private readonly log: Log,
    /** Ends the process once the response to the Shutdown call has gone out. */
    private readonly shutdown: () => Promise<void>,
  ) {}

  readonly handlers: ServiceHandlers<typeof DataPlane> = {
    getState: () => this.state(),
    watchEvents: (_request, stream) => this.watch(stream),

    createReplica: async ({ directory, volumeId, replicaId, sizeBytes, blockSize }) => {
      await this.native.createReplica({ directory, volumeId, replicaId, sizeBytes: Number(sizeBytes), blockSize });
      this.log('info', 'replica created', { directory, volumeId, replicaId });
      return {};
    },
    deleteReplica: ({ directory }) => this.deleteReplica(directory),

    openVolume: ({ volume: name, directory, cacheMode, limits }) => {
      const wanted = { name, directory, cacheMode: fromWireCacheMode(cacheMode), limits: fromWireLimits(limits) };
      return this.queue.run(name, () => this.open(wanted));
    },
    closeVolume: ({ volume }) => this.queue.run(volume, () => this.close(volume)),
    getVolume: async ({ volume }) => ({ volume: await this.volume(volume) }),
    resizeVolume: ({ volume, sizeBytes }) =>
      this.change('volume resized', { volume, sizeBytes: Number(sizeBytes) }, () => this.resize(volume, sizeBytes)),
    setLimits: ({ volume, limits }) =>
      this.change('limits set', { volume }, () => this.setLimits(volume, fromWireLimits(limits))),
    flattenVolume: ({ volume }) => this.change('flattening', { volume }, () => this.native.flattenVolume(volume)),
    startScrub: ({ volume }) => this.change('scrub started', { volume }, () => this.native.startScrub(volume)),
    formatEncryption: ({ volume, sectorSize, allowDiscards, passphrase }) =>
      this.withSecret(passphrase, () =>
        this.change('volume encrypted', { volume, sectorSize, allowDiscards }, () =>
          this.native.formatEncryption(volume, { sectorSize, allowDiscards }, passphrase),
        ),
      ),
    unlockVolume: ({ volume, passphrase }) =>
      this.withSecret(passphrase, () =>
        this.change('volume unlocked', { volume }, () => this.native.unlockVolume(volume, passphrase)),
      ),
    getHeader: ({ volume }) => this.native.headerInfo(volume),
    addKey: ({ volume, known, added }) =>
      this.withSecret(known, () =>
        this.withSecret(added, async () => {
          await this.native.addKey(volume, known, added);
          this.log('info', 'key slot added', { volume });
          return {};
        }),
      ),
    removeKey: ({ volume, removed, kept }) =>
      this.withSecret(removed, () =>
        this.withSecret(kept, async () => {
          await this.native.removeKey(volume, removed, kept);
          this.log('info', 'key slots removed', { volume });
          return {};
        }),
      ),
    backupHeader: async ({ volume, path }) => {
      await this.native.backupHeader(volume, path);
      this.log('info', 'header backed up', { volume, path });
      return {};
    },
    restoreHeader: async ({ volume, path, force }) => {
      await this.native.restoreHeader(volume, path, force);
      this.log('info', 'header restored', { volume, path, force });
      return {};
    },
    reencryptVolume: ({ volume, id, passphrase }) =>
      this.withSecret(passphrase, () =>
        this.change('volume key changed', { volume, id }, () => this.native.reencryptVolume(volume, id, passphrase)),
      ),

    formatPoolDevice: ({ device, passphrase }) =>
      this.withSecret(passphrase, async () => {
        const { path, uuid } = required(device, 'device');
        await this.native.formatPoolDevice({ path, uuid }, passphrase);
        this.log('info', 'device of a pool formatted', { path, uuid });
        return {};
      }),
    openPoolDevice: ({ device, mapping, passphrase }) =>
      this.withSecret(passphrase, async () => {
        const { path, uuid } = required(device, 'device');
        await this.native.openPoolDevice({ path, uuid }, mapping, passphrase);
        this.log('info', 'device of a pool opened', { path, uuid, mapping });
        return {};
      }),
    closePoolDevice: async ({ mapping }) => {
      await this.native.closePoolDevice(mapping);
      this.log('info', 'device of a pool closed', { mapping });
      return {};
    },

    createSnapshot: ({ volume, snapshotId, name }) =>
      this.change('snapshot created', { volume, snapshotId, name }, () =>
        this.native.createSnapshot(volume, snapshotId, name),
      ),
    deleteSnapshot: ({ volume, snapshotId }) =>
      this.change('snapshot removed', { volume, snapshotId }, () => this.native.deleteSnapshot(volume, snapshotId)),
    revertSnapshot: ({ volume, snapshotId }) =>
      this.change('volume reverted', { volume, snapshotId }, () => this.native.revertSnapshot(volume, snapshotId)),
    cloneSnapshot: async ({ volume, snapshotId, directory, volumeId, replicaId }) => {
      const target = { snapshotId, directory, volumeId, replicaId };
      await this.change('snapshot cloned', { volume, ...target }, () => this.native.cloneSnapshot(volume, target));
      return {};
    },

    addExport: ({ export: wire }) => {
      const exported = fromWireExport(required(wire, 'export'));
      return this.queue.run(exported.name, () => this.addExport(exported));
    },
    removeExport: ({ name, force }) => this.queue.run(name, () => this.removeExport(name, force)),
    addTarget: ({ target: wire, access: wireAccess }) => {
      const target = fromWireTarget(required(wire, 'target'));
      const access = fromWireAccess(required(wireAccess, 'access'));
      return this.withSecrets(access, () => this.queue.run(target.name, () => this.addTarget(target, access)));
    },
    removeTarget: ({ name, force }) => this.queue.run(name, () => this.removeTarget(name, force)),
    setSpaceLow: async ({ name, low }) => {
      await this.native.setSpaceLow(name, low);
      this.log('info', 'initiators told of the space of the pool', { target: name, low });
      return {};
    },
    setDiscovery: ({ access: wire, portals }) => {
      const access = fromWireAccess(required(wire, 'access'));
      return this.withSecrets(access, async () => {
        await this.native.setDiscovery({ access, portals: portals.map(({ host, port }) => ({ host, port })) });
        this.log('info', 'discovery set', { portals: portals.length });
        return {};
      });
    },
    setTls: async ({ tls }) => {
      const settings = fromWireTls(required(tls, 'tls'));
      await this.native.setTls(settings);
      this.log('info', 'TLS set', { mode: settings.mode });
      return {};
    },
    listen: ({ listener }) => this.listen(required(listener, 'listener')),
    unlisten: ({ listener }) => this.unlisten(required(listener, 'listener')),

    shutdown: async () => {
      await this.shutdown();
      return {};
    },
  };

  /** Hands an event to every watching service. */
  report(event: NativeEventReport): void {
    const { kind, volume, message } = event;
    this.log(kind.endsWith('-finished') ? 'info' : 'warn', kind, { volume, detail: message });
    const told = stamped(event);
    for (const watcher of this.watchers) watcher.send(told);
    if (this.watchers.size === 0) this.unheard = [...this.unheard, told].slice(-unheardMax);
  }

  /** Ends the event streams: by that the services learn that the process goes. */
  endStreams(): void {
    this.ended.abort();
  }

  private async state(): Promise<MessageInitShape<typeof GetStateResponseSchema>> {
    const { id, version, startTimeMs } = this.identity;
    const volumes = await Promise.all([...this.volumes.keys()].map((name) => this.volumeUnlessClosed(name)));
    return {
      id,
      pid: process.pid,
      version,
      startTimeMs: BigInt(startTimeMs),
      volumes: volumes.filter((volume) => volume !== undefined),
      exports: [...this.exports.values()].map(toWireExport),
      listeners: [...this.listeners.values()],
      targets: [...this.targets.values()].map(toWireTarget),
    };
  }

  private watch(stream: Outgoing<EventInit>): Promise<void> {
    this.watchers.add(stream);
    stream.send(stamped({ kind: 'hello', volume: '', message: '' }));
    for (const event of this.unheard) stream.send(event);
    this.unheard = [];
    return new Promise((resolve) => {
      const end = (): void => {
        this.watchers.delete(stream);
        resolve();
      };
      stream.closed.addEventListener('abort', end, { once: true });
      this.ended.signal.addEventListener('abort', end, { once: true });
    });
  }

  private async deleteReplica(directory: string) {
    const open = [...this.volumes].find(([, volume]) => volume.directory === directory);
    if (open) throw new CairnError('volume-in-use', `Volume ${open[0]} is open in ${directory}. Detach it first.`);
    const removal = await this.removals.remove(directory);
    if (removal.finished) this.log('info', 'replica deleted', { directory });
    return removal;
  }

  private async open(wanted: VolumeToOpen): Promise<{ volume: VolumeInit }> {
    const { name, directory, cacheMode, limits } = wanted;
    const held = this.volumes.get(name);
    if (held && (held.directory !== directory || held.cacheMode !== cacheMode)) {
      const how = `from ${held.directory} with cache mode ${held.cacheMode}`;
      throw new CairnError('volume-exists', `Volume ${name} is already open ${how}. Detach it first.`);
    }
    if (held) {
      if (!areLimitsEqual(held.limits, limits)) await this.setLimits(name, limits);
      return { volume: await this.volume(name) };
    }
    const info = await this.native.openVolume(wanted);
    this.volumes.set(name, wanted);
    this.log('info', 'volume opened', { volume: name, directory, cacheMode, recovered: info.recovered });
    if (info.recovered)
      this.report({
        kind: 'unclean-recovery',
        volume: name,
        message: `Volume ${name} was not closed properly, and has been recovered.`,
      });
    return { volume: toWireVolume(info) };
  }

  private async close(name: string) {
    if (!this.volumes.has(name)) return {};
    await this.native.closeVolume(name);
    this.volumes.delete(name);
    this.log('info', 'volume closed', { volume: name });
    return {};
  }

  private async volume(name: string): Promise<VolumeInit> {
    return toWireVolume(await this.native.volumeInfo(name));
  }

  private async volumeUnlessClosed(name: string): Promise<VolumeInit | undefined> {
    try {
      return await this.volume(name);
    } catch (error) {
      if (hasCode(toCairnError(error), 'volume-detached')) return undefined; // closed while the others were asked
      throw error;
    }
  }

  private change(what: string, fields: LogFields & { volume: string }, change: () => Promise<void>) {
    const { volume } = fields;
    return this.queue.run(volume, async () => {
      await change();
      this.log('info', what, fields);
      return { volume: await this.volume(volume) };
    });
  }

  /** What came over the socket is zeroed in any case; the addon has its own, locked copy as soon as it is called. */
  private async withSecret<Answer>(secret: Uint8Array, work: () => Promise<Answer>): Promise<Answer> {
    keepOutOfCoreDumps();
    try {
      return await work();
    } finally {
      secret.fill(0);
    }
  }

  private withSecrets<Answer>(access: Access, work: () => Promise<Answer>): Promise<Answer> {
    return secretsOf(access).reduce<() => Promise<Answer>>(
      (inner, secret) => () => this.withSecret(secret, inner),
      work,
    )();
  }

  private async setLimits(name: string, limits: Limits): Promise<void> {
    await this.native.setLimits(name, limits);
    const held = this.volumes.get(name);
    if (held) held.limits = limits;
  }

  private async resize(volume: string, sizeBytes: bigint): Promise<void> {
    const before = await this.native.volumeInfo(volume);
    if (before.sizeBytes !== Number(sizeBytes)) await this.native.resizeVolume(volume, Number(sizeBytes));
  }

  private async addExport(exported: NewExport) {
    const held = this.exports.get(exported.name);
    if (held && JSON.stringify(held) !== JSON.stringify(exported)) {
      throw new CairnError('export-exists', `Export ${exported.name} already serves something else. Remove it first.`);
    }
    if (held) return {};
    await this.native.addExport(exported);
    this.exports.set(exported.name, exported);
    this.log('info', 'export added', { export: exported.name, handover: exported.handover?.path });
    return {};
  }

  private async removeExport(name: string, force: boolean) {
    await this.native.removeExport(name, force);
    this.exports.delete(name);
    this.log('info', 'export removed', { export: name, force });
    return {};
  }

  private async addTarget(target: NewTarget, access: Access) {
    const held = this.targets.get(target.name);
    if (held && JSON.stringify(held) !== JSON.stringify(target)) {
      throw new CairnError('export-exists', `Target ${target.name} already serves something else. Remove it first.`);
    }
    if (held) return this.setAccess(target.name, access);
    await this.native.addTarget({ ...target, access });
    this.targets.set(target.name, target);
    this.log('info', 'target added', { target: target.name, handover: target.handover?.path });
    return {};
  }

  private async removeTarget(name: string, force: boolean) {
    await this.native.removeTarget(name, force);
    this.targets.delete(name);
    this.log('info', 'target removed', { target: name, force });
    return {};
  }

  private async setAccess(name: string, access: Access) {
    await this.native.setTargetAccess(name, access);
    this.log('info', 'access set', { target: name, initiators: access.initiators.length, chap: access.chap.length });
    return {};
  }

  private async unlisten({ address }: Listener) {
    if (address.case !== 'nbdTcp' && address.case !== 'iscsiTcp')
      throw new CairnError('invalid-request', 'Only TCP addresses are given up.', { field: 'listener.address' });
    const { host, port } = address.value;
    if (address.case === 'nbdTcp') await this.native.unlistenTcp(host, port);
    else await this.native.unlistenIscsi(host, port);
    for (const [key, bound] of this.listeners) if (keyOf(bound) === keyOf({ address })) this.listeners.delete(key);
    this.log('info', 'no longer listening', { address: keyOf({ address }) });
    return {};
  }

  private listen(listener: Listener): Promise<{ listener: ListenerInit }> {
    const key = keyOf(listener);
    return this.queue.run(`listen ${key}`, async () => {
      const existing = this.listeners.get(key) ?? [...this.listeners.values()].find((bound) => keyOf(bound) === key);
      if (existing) return { listener: existing };
      const bound = await this.bind(listener.address);
      this.listeners.set(key, bound);
      this.log('info', 'listening', { address: keyOf(bound) });
      return { listener: bound };
    });
  }

  private async bind(address: Listener['address']): Promise<ListenerInit> {
    switch (address.case) {
      case 'nbdTcp': {
        const value = await this.native.listenTcp(address.value.host, address.value.port);
        return { address: { case: 'nbdTcp', value } };
      }
      case 'nbdUnix':
        await this.native.listenUnix(address.value);
        return { address };
      case 'iscsiTcp': {
        const value = await this.native.listenIscsi(address.value.host, address.value.port);
        return { address: { case: 'iscsiTcp', value } };
      }
      case 'iscsiHandover':
        await this.native.listenIscsiHandover(address.value);
        return { address };
      case 'handover':
        await this.native.listenHandover(address.value);
        return { address };
      default:
        throw new CairnError('invalid-request', 'The listener has no address.', { field: 'listener.address' });
    }
  }
}

function required<Value>(value: Value | undefined, field: string): Value {
  if (value !== undefined) return value;
  throw new CairnError('invalid-request', `${field} is missing.`, { field });
}

function keyOf({ address }: Pick<ListenerInit, 'address'>): string {
  if (address?.case === 'nbdTcp') return `tcp ${address.value.host} ${address.value.port}`;
  if (address?.case === 'iscsiTcp') return `iscsi ${address.value.host} ${address.value.port}`;
  return `${address?.case} ${address?.value}`;
}

function stamped(event: NativeEventReport): EventInit {
  return { timeMs: BigInt(Date.now()), ...event };
}
