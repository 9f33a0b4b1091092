/**
 * The steps that volumes are moved by. Operations take them when they are asked to, the reconciler when it finds them untaken after a
 * crash; so each can be taken again. All of them run inside the volume's mutex.
 */
import { join } from 'node:path';
import type { Frontend, VolumeSpec } from '../engine/node-engine.js';
import { hasCode } from '../errors.js';
import type { ControlParts } from './parts.js';
import type { SnapshotRecord, Stored, VolumeRecord } from './records.js';

export class VolumeSteps {
  constructor(private readonly parts: ControlParts) {}

  /** `creating` -> files -> `ready`. What an earlier attempt left holds no data yet. */
  async finishCreate(stored: Stored<VolumeRecord>): Promise<Stored<VolumeRecord>> {
    const { engine, records } = this.parts;
    const { id, replicaId, sizeBytes, blockSize } = stored.record;
    const directory = replicaDirectory(stored.record);
    try {
      await engine.createReplica({ directory, volumeId: id, replicaId, sizeBytes, blockSize });
    } catch (error) {
      if (!hasCode(error, 'replica-exists')) throw error;
      await engine.deleteReplica(directory);
      await engine.createReplica({ directory, volumeId: id, replicaId, sizeBytes, blockSize });
    }
    return records.volumes.change(stored, { state: 'ready' });
  }

  /** `deleting` -> closed -> files gone -> snapshot records gone -> record gone. */
  async finishDelete(stored: Stored<VolumeRecord>): Promise<void> {
    const { engine, records, statuses, events } = this.parts;
    const { name, id } = stored.record;
    await engine.detach(name, true);
    await engine.deleteReplica(replicaDirectory(stored.record));
    await records.snapshotsOf(id).removeAll();
    await records.volumes.remove(stored);
    statuses.deleted(name);
    events.add({ kind: 'volume-deleted', volume: name, message: `Volume ${name} is deleted.` });
  }

  async attach(record: VolumeRecord, frontend: Frontend): Promise<void> {
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
  const { name, id, cacheMode } = record;
  return { name, volumeId: id, directory: replicaDirectory(record), cacheMode, description: `Cairn volume ${name}` };
}
