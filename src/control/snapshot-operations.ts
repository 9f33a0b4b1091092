/** Taking, deleting and reverting to snapshots, inside the mutex of their volume. */
import { randomUUID } from 'node:crypto';
import type { NewSnapshot } from '../api/schemas.js';
import { CairnError, hasCode } from '../errors.js';
import type { ControlParts } from './parts.js';
import type { SnapshotRecord, Stored, VolumeRecord } from './records.js';
import type { VolumeOperations } from './volume-operations.js';
import { specOf, type VolumeSteps } from './volume-steps.js';

export class SnapshotOperations {
  constructor(
    private readonly parts: ControlParts,
    private readonly steps: VolumeSteps,
    private readonly volumes: VolumeOperations,
  ) {}

  /** Resolves with the snapshot's name. */
  create(volumeName: string, { name }: NewSnapshot): Promise<string> {
    return this.parts.mutex.run(volumeName, async () => {
      const { record: volume } = await this.volumes.settled(volumeName);
      const snapshot = this.newRecord(volume, name);
      if (!(await this.parts.records.snapshotsOf(volume.id).create(snapshot)))
        throw new CairnError(
          'snapshot-exists',
          `Volume ${volumeName} has a snapshot ${snapshot.name} already. Choose another name.`,
          {
            field: 'name',
          },
        );
      await this.take(volume, await this.existing(volume, snapshot.name));
      this.tell('snapshot-created', volumeName, `Snapshot ${snapshot.name} of volume ${volumeName} is taken.`);
      return snapshot.name;
    });
  }

  delete(volumeName: string, name: string): Promise<void> {
    return this.parts.mutex.run(volumeName, async () => {
      const { record: volume } = await this.volumes.settled(volumeName);
      const stored = await this.existing(volume, name);
      const doomed = await this.parts.records.snapshotsOf(volume.id).change(stored, { state: 'deleting' });
      try {
        await this.steps.finishDeleteSnapshot(volume, doomed);
      } catch (error) {
        // Refused for sure: the caller is told so, and it is not done later.
        if (hasCode(error, 'snapshot-in-use', 'no-space'))
          await this.parts.records.snapshotsOf(volume.id).change(doomed, stored.record);
        else this.parts.leftUndone(volumeName, error);
        throw hasCode(error, 'snapshot-in-use') ? inUse(volumeName, name, error) : error;
      }
      this.tell(
        'snapshot-deleted',
        volumeName,
        `Snapshot ${name} of volume ${volumeName} is deleted; its space is being given back.`,
      );
    });
  }

  revert(volumeName: string, name: string): Promise<void> {
    return this.parts.mutex.run(volumeName, async () => {
      const { record: volume } = await this.volumes.settled(volumeName);
      const { record: snapshot } = await this.existing(volume, name);
      if (snapshot.state !== 'ready')
        throw new CairnError(
          'snapshot-busy',
          `Snapshot ${name} is ${snapshot.state}. Wait until that is over, then try again.`,
        );
      if (volume.frontend !== null && volume.frontend !== 'none')
        throw new CairnError(
          'volume-attached',
          `Volume ${volumeName} is attached. Detach it, or attach it for maintenance (frontend none), before it is reverted.`,
        );
      await this.parts.engine.revertSnapshot(specOf(volume), snapshot.id);
      this.tell('snapshot-reverted', volumeName, `Volume ${volumeName} is reverted to snapshot ${name}.`);
    });
  }

  /** Throws `snapshot-not-found`. */
  async existing(volume: VolumeRecord, name: string): Promise<Stored<SnapshotRecord>> {
    const stored = await this.parts.records.snapshotsOf(volume.id).get(name);
    if (stored) return stored;
    throw new CairnError(
      'snapshot-not-found',
      `Volume ${volume.name} has no snapshot ${JSON.stringify(name)}. List its snapshots to see which exist.`,
    );
  }

  private newRecord(volume: VolumeRecord, name: string | undefined): SnapshotRecord {
    const now = this.parts.now();
    return {
      name: name ?? nameOfTime(now),
      id: randomUUID(),
      volumeId: volume.id,
      state: 'creating',
      sizeBytes: volume.sizeBytes,
      created: now.toISOString(),
    };
  }

  private async take(volume: VolumeRecord, stored: Stored<SnapshotRecord>): Promise<void> {
    try {
      await this.parts.engine.createSnapshot(specOf(volume), stored.record.id, stored.record.name);
    } catch (error) {
      await this.settle(volume, stored);
      throw error;
    }
    await this.parts.records.snapshotsOf(volume.id).change(stored, { state: 'ready' });
  }

  private async settle(volume: VolumeRecord, stored: Stored<SnapshotRecord>): Promise<void> {
    try {
      await this.steps.settleSnapshot(volume, stored);
    } catch (error) {
      this.parts.leftUndone(volume.name, error);
    }
  }

  private tell(kind: string, volume: string, message: string): void {
    this.parts.events.add({ kind, volume, message });
  }
}

function inUse(volume: string, snapshot: string, cause: unknown): CairnError {
  const what = `Clients read snapshot ${snapshot} of volume ${volume} as ${volume}@${snapshot}.`;
  return new CairnError('snapshot-in-use', `${what} Disconnect them, then delete it.`, { cause });
}

/** 2025-01-31T23:59:59.000Z -> 20250131-235959-000 */
function nameOfTime(time: Date): string {
  const digits = time.toISOString().replaceAll(/\D/g, '');
  return `${digits.slice(0, 8)}-${digits.slice(8, 14)}-${digits.slice(14)}`;
}
