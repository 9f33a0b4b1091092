/**
 * The steps that volumes are moved by. Operations take them when they are asked to, the reconciler when it finds them untaken after a
 * crash; so each can be taken again. All of them run inside the volume's mutex.
 */
import { join } from 'node:path';
import { noLimits } from '../engine/native.js';
import type { KeyRef } from '../keys/key-source.js';
import { openAccess, type Frontend, type VolumeSpec } from '../engine/node-engine.js';
import { CairnError, hasCode } from '../errors.js';
import type { ControlParts } from './parts.js';
import type { Pools } from './pools.js';
import { replicaBytes, type Encryption, type SnapshotRecord, type Stored, type VolumeRecord } from './records.js';

export class VolumeSteps {
  constructor(
    private readonly parts: ControlParts,
    private readonly pools: Pools,
  ) {}

  /** Throws `pool-unavailable` while the volume's pool is not there. */
  checkPool({ pool }: VolumeRecord): Promise<void> {
    return this.pools.check(pool);
  }

  /** `creating` -> files -> `ready`. What an earlier attempt left holds no data yet. */
  async finishCreate(stored: Stored<VolumeRecord>): Promise<Stored<VolumeRecord>> {
    const { engine, records } = this.parts;
    try {
      await this.makeReplica(stored.record);
    } catch (error) {
      if (!hasCode(error, 'replica-exists')) throw error;
      await engine.deleteReplica(replicaDirectory(stored.record));
      await this.makeReplica(stored.record);
    }
    return records.volumes.change(stored, { state: 'ready' });
  }

  /** What a crash left in `creating`. A clone whose source is gone meanwhile cannot be made any more: it is taken back. */
  async settleCreate(stored: Stored<VolumeRecord>): Promise<void> {
    try {
      await this.finishCreate(stored);
    } catch (error) {
      if (!stored.record.source || !hasCode(error, 'volume-not-found', 'snapshot-not-found')) throw error;
      await this.finishDelete(await this.parts.records.volumes.change(stored, { state: 'deleting' }));
    }
  }

  /** `deleting` -> closed -> files gone -> snapshot records gone -> record gone. */
  async finishDelete(stored: Stored<VolumeRecord>): Promise<void> {
    await this.checkPool(stored.record);
    await this.parts.engine.detach(stored.record.name, true);
    await this.parts.engine.deleteReplica(replicaDirectory(stored.record));
    await this.forget(stored);
  }

  /** The end of a deletion: the files are gone. */
  async forget(stored: Stored<VolumeRecord>): Promise<void> {
    const { records, statuses, events } = this.parts;
    const { name, id } = stored.record;
    await records.snapshotsOf(id).removeAll();
    await records.volumes.remove(stored);
    statuses.deleted(name);
    events.add({ kind: 'volume-deleted', volume: name, message: `Volume ${name} is deleted.` });
  }

  /** Lets the data plane go on with a flattening, and ends it in the record when there is nothing left to do. */
  async continueFlatten(stored: Stored<VolumeRecord>): Promise<void> {
    const { engine, records } = this.parts;
    const { source } = stored.record;
    if (source && !(await engine.flatten(specOf(stored.record))))
      await records.volumes.change(stored, { source: { ...source, state: 'flattened' } });
  }

  /** Lets the data plane go on with a new volume key, and ends it in the record when there is nothing left to do. */
  async continueReencrypt(stored: Stored<VolumeRecord>): Promise<void> {
    const { engine } = this.parts;
    const { encryption } = stored.record;
    if (encryption?.reencryption && !(await engine.reencrypt(specOf(stored.record), encryption.reencryption.id)))
      await this.changeEncryption(stored, () => ({ reencryption: null }));
  }

  /**
   * `next` -> its key slot is there -> it is the volume's own -> the key slots of the `previous` one are gone. The key of the record
   * opens the volume at each moment.
   */
  async continueRotation(stored: Stored<VolumeRecord>): Promise<Stored<VolumeRecord>> {
    const { engine } = this.parts;
    let now = stored;
    const { next = null } = now.record.encryption ?? {};
    if (next !== null) {
      await engine.addKey(specOf(now.record), next);
      now = await this.changeEncryption(now, ({ provider, key }) => {
        return { ...next, next: null, previous: { provider, key } };
      });
    }
    const { previous = null } = now.record.encryption ?? {};
    if (previous === null) return now;
    await engine.removeKey(specOf(now.record), previous);
    return this.changeEncryption(now, () => ({ previous: null }));
  }

  private changeEncryption(
    stored: Stored<VolumeRecord>,
    change: (before: Encryption) => Partial<Encryption>,
  ): Promise<Stored<VolumeRecord>> {
    const { encryption } = stored.record;
    if (!encryption) return Promise.resolve(stored);
    return this.parts.records.volumes.change(stored, { encryption: { ...encryption, ...change(encryption) } });
  }

  private async makeReplica(record: VolumeRecord): Promise<void> {
    const { engine } = this.parts;
    const { id: volumeId, replicaId, source } = record;
    const directory = replicaDirectory(record);
    await this.checkPool(record);
    if (!source) return this.makeFirstReplica(record);
    const parent = await this.parts.records.volumes.get(source.volume);
    if (parent?.record.id !== source.volumeId)
      throw new CairnError(
        'volume-not-found',
        `Volume ${source.volume}, which is to be cloned, was deleted meanwhile.`,
      );
    const { snapshotId } = source;
    await engine.cloneSnapshot(specOf(parent.record), { snapshotId, directory, volumeId, replicaId });
    await engine.resize(specOf(record)); // larger than the snapshot, if that is asked for or its volume has grown since
  }

  private async makeFirstReplica(record: VolumeRecord): Promise<void> {
    const { id: volumeId, replicaId, blockSize, encryption } = record;
    const sizeBytes = replicaBytes(record);
    const { engine } = this.parts;
    await engine.createReplica({ directory: replicaDirectory(record), volumeId, replicaId, sizeBytes, blockSize });
    if (!encryption) return;
    const { allowDiscards } = encryption;
    await engine.formatEncryption(specOf(record), { sectorSize: blockSize, allowDiscards });
  }

  async attach(record: VolumeRecord, frontend: Frontend): Promise<void> {
    await this.checkPool(record);
    const { uris } = await this.parts.engine.attach(specOf(record), frontend);
    this.parts.statuses.attached(record.name, uris);
  }

  async detach(volume: string, force: boolean): Promise<void> {
    await this.parts.engine.detach(volume, force);
    this.parts.statuses.detached(volume);
  }

  /**
   * Ends what an operation on a snapshot left half done. A deletion goes forward. A creation counts if the data plane has the snapshot, else it
   * is taken back: taken now it would hold what was written since it was asked for.
   */
  async settleSnapshot(volume: VolumeRecord, snapshot: Stored<SnapshotRecord>): Promise<void> {
    if (snapshot.record.state === 'deleting') return this.finishDeleteSnapshot(volume, snapshot);
    const layers = await this.parts.engine.layers(specOf(volume));
    const snapshots = this.parts.records.snapshotsOf(volume.id);
    const isThere = layers.some(({ id, removed }) => id === snapshot.record.id && !removed);
    if (isThere) await snapshots.change(snapshot, { state: 'ready' });
    else await snapshots.remove(snapshot);
  }

  async finishDeleteSnapshot(volume: VolumeRecord, snapshot: Stored<SnapshotRecord>): Promise<void> {
    try {
      await this.parts.engine.deleteSnapshot(specOf(volume), snapshot.record.id);
    } catch (error) {
      if (!hasCode(error, 'snapshot-not-found')) throw error;
    }
    await this.parts.records.snapshotsOf(volume.id).remove(snapshot);
  }
}

export function replicaDirectory({ pool, id, replicaId }: VolumeRecord): string {
  return join(pool, 'replicas', id, replicaId);
}

/** What the engine must know of a volume. */
export function specOf(record: VolumeRecord): VolumeSpec {
  const { name, id, cacheMode, limits = noLimits } = record;
  const encryption = record.encryption ? { key: keyOf(record.encryption) } : null;
  return {
    name,
    volumeId: id,
    directory: replicaDirectory(record),
    cacheMode,
    sizeBytes: replicaBytes(record),
    limits,
    description: `Cairn volume ${name}`,
    encryption,
    raw: record.raw ?? false,
    readOnly: record.readOnly ?? false,
    access: record.access ?? openAccess,
  };
}

function keyOf({ provider, key }: Encryption): KeyRef {
  return { provider, key };
}
