/** Which process holds which volume, and the calls that open, serve, withdraw and close it there. */
import { hasCode, toCairnError } from '../errors.js';
import type { GetStateResponse, Volume } from '../generated/cairn/dataplane/v1/data_plane_pb.js';
import { flushTimeoutMs, keyTimeoutMs } from './data-plane-connection.js';
import {
  fromWireCacheMode,
  fromWireLimits,
  toWireCacheMode,
  toWireExport,
  toWireLimits,
} from './data-plane-messages.js';
import type { DataPlaneFleet } from './data-plane-fleet.js';
import { needsSecrets, type HandedOverTarget, type IscsiFront } from './iscsi-front.js';
import type { HandedOverExport, NbdFront } from './nbd-front.js';
import { frontendOf, openAccess, serves, without, type Frontend, type VolumeSpec } from './node-engine.js';
import type { Passphrases } from './passphrases.js';
import type { Log } from './process-log.js';
import type { DataPlaneCalls, RunningProcess } from './supervised-process.js';

/** Why the volume is open: somebody attached it, or an operation on a detached volume needs it (until its merges end). */
export type Purpose = 'attached' | 'operation';

export interface HeldVolume {
  spec: VolumeSpec;
  process: string;
  purpose: Purpose;
  frontend: Frontend;
  /** Clients are served its plaintext; of one that was taken over, what its process says. */
  decrypted: boolean;
  /** Found served by a process that outlived the service: nobody has said yet whom its target lets in. */
  isFound: boolean;
}

export class HeldVolumes {
  private readonly records = new Map<string, HeldVolume>();

  constructor(
    private readonly fleet: DataPlaneFleet,
    private readonly front: NbdFront,
    private readonly iscsi: IscsiFront,
    private readonly passphrases: Passphrases,
    /** The process that listens for clients. */
    private readonly frontProcess: () => string,
    private readonly log: Log,
  ) {}

  get(name: string): HeldVolume | undefined {
    return this.records.get(name);
  }

  all(): HeldVolume[] {
    return [...this.records.values()];
  }

  in(process: string): HeldVolume[] {
    return this.all().filter((held) => held.process === process);
  }

  /** Takes over what a process that was found running holds. Volumes that are not served count as in maintenance. */
  adopt(process: string, { volumes, exports, targets }: GetStateResponse): void {
    for (const volume of volumes) {
      const exported = exports.find((each) => each.volume === volume.name);
      const target = targets.find((each) => each.volume === volume.name);
      const served = exported ?? target;
      const description = exported?.description ?? target?.alias ?? '';
      const spec = { ...specOf(volume, description), readOnly: served?.readOnly ?? false };
      const held = this.remember(spec, process, 'attached');
      const frontend = frontendOf(exported !== undefined, target !== undefined);
      Object.assign(held, { frontend, decrypted: served?.decrypted ?? false, isFound: true });
    }
  }

  /** Opens the volume in the process, or finds it open there. */
  async open(spec: VolumeSpec, process: string, purpose: Purpose): Promise<HeldVolume> {
    const { calls } = await this.fleet.ensure(process);
    const volume = await openIn(calls, spec);
    await this.grow(calls, spec, volume);
    const frontend = this.records.get(spec.name)?.frontend ?? 'none';
    return Object.assign(this.remember(spec, process, purpose), { frontend });
  }

  /** What fails half way is withdrawn: it would keep the volume from being closed. */
  async serve(held: HeldVolume, frontend: Frontend): Promise<void> {
    const added = without(frontend, held.frontend);
    held.frontend = frontend;
    try {
      await this.serveBy(held, frontend);
    } catch (error) {
      await this.giveUp(held, added);
      throw error;
    }
  }

  /** The holder first: it knows the clients, and a connection that the front still hands over finds no export there. */
  async withdraw(held: HeldVolume, from: Frontend, force: boolean): Promise<void> {
    if (from === 'none') return;
    const { calls } = await this.fleet.ensure(held.process);
    const { name } = held.spec;
    if (serves(from, 'iscsi')) await this.iscsi.remove(calls, name, force);
    if (serves(from, 'nbd')) await this.front.remove(calls, name, force);
    held.frontend = without(held.frontend, from);
    if (held.process !== this.frontProcess()) await this.removeFromFront(name, from);
    if (serves(from, 'iscsi')) await this.stopListeningUnlessNeeded();
  }

  async removeFromFront(name: string, from: Frontend): Promise<void> {
    const { calls } = await this.fleet.ensure(this.frontProcess());
    if (serves(from, 'nbd')) await this.front.remove(calls, name, true);
    if (serves(from, 'iscsi')) await this.iscsi.remove(calls, name, true);
  }

  private async serveBy(held: HeldVolume, frontend: Frontend): Promise<void> {
    const { calls } = await this.fleet.ensure(held.process);
    const isHere = held.process === this.frontProcess();
    const front = isHere ? calls : (await this.fleet.ensure(this.frontProcess())).calls;
    if (serves(frontend, 'nbd')) {
      await this.unlocked(calls, held, () => exportIn(calls, held));
      if (!isHere) await this.front.add(front, handedOver(held));
    }
    if (serves(frontend, 'iscsi')) {
      await this.unlocked(calls, held, () => this.iscsi.serve(calls, held.spec, held.decrypted));
      if (!isHere) await this.iscsi.handOver(front, handedOver(held));
      await this.iscsi.listen(front);
    }
  }

  private async giveUp(held: HeldVolume, added: Frontend): Promise<void> {
    try {
      await this.withdraw(held, added, true);
    } catch (error) {
      const { code, detail } = toCairnError(error);
      this.log('warn', 'what failed cannot be withdrawn', { volume: held.spec.name, frontend: added, code, detail });
    }
  }

  private async stopListeningUnlessNeeded(): Promise<void> {
    if (this.isIscsiNeeded()) return;
    const { calls } = await this.fleet.ensure(this.frontProcess());
    await this.iscsi.stopListening(calls);
  }

  async close(held: HeldVolume): Promise<void> {
    const { calls } = await this.fleet.ensure(held.process);
    await calls.closeVolume({ volume: held.spec.name }, { timeoutMs: flushTimeoutMs });
    this.records.delete(held.spec.name);
  }

  /** Forgets a volume whose process is down: it is not opened again. */
  drop(held: HeldVolume): void {
    this.records.delete(held.spec.name);
  }

  /** Operations on detached volumes are over with the process; what is attached is opened again by {@link restore}. */
  forgetOperationsIn(process: string): void {
    for (const held of this.in(process)) if (held.purpose === 'operation') this.records.delete(held.spec.name);
  }

  /**
   * Opens and exports again what a process held before it died. Volumes that cannot be opened are left to the reconciler, and so are
   * encrypted ones: others do not wait for whoever has their passphrases.
   */
  async restore({ id, calls }: RunningProcess): Promise<void> {
    await Promise.all(this.in(id).map((held) => this.restoreOne(calls, held)));
  }

  /** What the front must know of the other processes' volumes. */
  handedOver(): HandedOverExport[] {
    return this.others('nbd').map(handedOver);
  }

  handedOverTargets(): HandedOverTarget[] {
    return this.others('iscsi').map(handedOver);
  }

  /** Somebody is to find a volume by iSCSI. */
  isIscsiNeeded(): boolean {
    return this.all().some(({ frontend }) => serves(frontend, 'iscsi'));
  }

  private others(protocol: 'nbd' | 'iscsi'): HeldVolume[] {
    return this.all().filter(({ process, frontend }) => process !== this.frontProcess() && serves(frontend, protocol));
  }

  private async restoreOne(calls: DataPlaneCalls, held: HeldVolume): Promise<void> {
    const { spec } = held;
    try {
      await openIn(calls, spec);
      if (this.records.get(spec.name) !== held)
        await calls.closeVolume({ volume: spec.name }); // dropped meanwhile
      else await this.serveAgain(calls, held);
    } catch (error) {
      this.records.delete(spec.name);
      const { code, detail } = toCairnError(error);
      this.log('error', 'volume cannot be restored', { volume: spec.name, process: held.process, code, detail });
    }
  }

  private async serveAgain(calls: DataPlaneCalls, held: HeldVolume): Promise<void> {
    if (serves(held.frontend, 'nbd')) await exportIn(calls, held);
    if (!serves(held.frontend, 'iscsi')) return;
    const isAskedFor = held.isFound || needsSecrets(held.spec.access);
    if (isAskedFor) return this.iscsi.assertServed(calls, held.spec.name);
    await this.iscsi.serve(calls, held.spec, held.decrypted);
  }

  /** The passphrase is asked for only when it is needed: not for a volume that is served already. */
  private async unlocked(calls: DataPlaneCalls, held: HeldVolume, serve: () => Promise<void>): Promise<void> {
    const { name, encryption } = held.spec;
    try {
      await serve();
    } catch (error) {
      if (!encryption || !hasCode(error, 'key-unavailable')) throw error;
      await this.passphrases.ofVolume(held.spec, async (passphrase) => {
        await calls.unlockVolume({ volume: name, passphrase }, { timeoutMs: keyTimeoutMs });
      });
      await serve();
    }
  }

  /** A growth that was interrupted. The volume is served as it is when it fails again: the reconciler sees that it is too small. */
  private async grow(calls: DataPlaneCalls, { name, sizeBytes }: VolumeSpec, volume: Volume): Promise<void> {
    if (volume.sizeBytes >= BigInt(sizeBytes)) return;
    try {
      await calls.resizeVolume({ volume: name, sizeBytes: BigInt(sizeBytes) });
    } catch (error) {
      const { code, detail } = toCairnError(error);
      this.log('warn', 'volume cannot be grown', { volume: name, sizeBytes, code, detail });
    }
  }

  private remember(spec: VolumeSpec, process: string, purpose: Purpose): HeldVolume {
    const held: HeldVolume = { spec, process, purpose, frontend: 'none', decrypted: isDecrypted(spec), isFound: false };
    this.records.set(spec.name, held);
    return held;
  }
}

async function openIn(calls: DataPlaneCalls, { name, directory, cacheMode, limits }: VolumeSpec): Promise<Volume> {
  const request = { volume: name, directory, cacheMode: toWireCacheMode(cacheMode), limits: toWireLimits(limits) };
  const { volume } = await calls.openVolume(request, { timeoutMs: flushTimeoutMs });
  if (!volume) throw new Error('OpenVolume answered without a volume');
  return volume;
}

/** Throws `key-unavailable` when it is encrypted and not unlocked yet. */
async function exportIn(calls: DataPlaneCalls, { spec, decrypted }: HeldVolume): Promise<void> {
  const { name, description, readOnly } = spec;
  const exported = { name, description, readOnly, decrypted, volume: name, handover: null };
  await calls.addExport({ export: toWireExport(exported) });
}

function isDecrypted({ encryption, raw }: VolumeSpec): boolean {
  return encryption !== null && !raw;
}

function handedOver({ spec, process, isFound }: HeldVolume): HandedOverExport & HandedOverTarget {
  return { name: spec.name, description: spec.description, access: isFound ? null : spec.access, holder: process };
}

function specOf({ name, volumeId, directory, cacheMode, sizeBytes, limits }: Volume, description: string): VolumeSpec {
  return {
    name,
    volumeId,
    directory,
    cacheMode: fromWireCacheMode(cacheMode),
    sizeBytes: Number(sizeBytes),
    limits: fromWireLimits(limits),
    description,
    // As the record says, when the volume is looked at.
    encryption: null,
    raw: false,
    readOnly: false,
    access: openAccess,
  };
}
