/** Volumes and snapshots as the API shows them: the record, what runs of it, and what is wrong with it. */
import type { Snapshot, Volume } from '../api/schemas.js';
import type { LayerInfo } from '../engine/native.js';
import type { RunningVolume } from '../engine/node-engine.js';
import { toCairnError } from '../errors.js';
import { causesOf } from './log.js';
import type { ControlParts } from './parts.js';
import type { SnapshotRecord, VolumeRecord } from './records.js';

/** What runs, by name, or why that is not known. */
export interface RunningVolumes {
  byName: Map<string, RunningVolume>;
  unknown: string | null;
}

export class VolumeViews {
  constructor(private readonly parts: ControlParts) {}

  async volumes(): Promise<Volume[]> {
    const { records, log } = this.parts;
    const [stored, counts, running] = await Promise.all([
      records.volumes.list((error) => log('error', 'record cannot be read', { cause: causesOf(error) })),
      records.snapshotCounts(),
      this.running(),
    ]);
    return stored.map(({ record }) => this.view(record, counts.get(record.id) ?? 0, running));
  }

  async volume(record: VolumeRecord): Promise<Volume> {
    const [snapshots, running] = await Promise.all([this.snapshotRecords(record), this.runningOne(record.name)]);
    return this.view(record, snapshots.length, running);
  }

  /** Oldest first. */
  async snapshots(volume: VolumeRecord): Promise<Snapshot[]> {
    const [records, { byName }] = await Promise.all([this.snapshotRecords(volume), this.runningOne(volume.name)]);
    const layers = byName.get(volume.name)?.layers ?? [];
    return records
      .sort((one, other) => one.created.localeCompare(other.created) || one.name.localeCompare(other.name))
      .map((record) => snapshotView(volume, record, records, layers));
  }

  async running(): Promise<RunningVolumes> {
    return answered(async () => this.parts.engine.allRunning());
  }

  private runningOne(name: string): Promise<RunningVolumes> {
    return answered(async () => {
      const running = await this.parts.engine.running(name);
      return running ? [running] : [];
    });
  }

  private async snapshotRecords({ id }: VolumeRecord): Promise<SnapshotRecord[]> {
    const stored = await this.parts.records.snapshotsOf(id).list((error) => {
      throw error;
    });
    return stored.map(({ record }) => record);
  }

  private view(record: VolumeRecord, snapshotCount: number, { byName, unknown }: RunningVolumes): Volume {
    const { name, id, sizeBytes, blockSize, cacheMode, frontend, created } = record;
    const running = byName.get(name);
    const reason = this.reasonOf(record, running, unknown);
    return {
      name,
      id,
      size: sizeBytes,
      blockSize,
      cacheMode,
      state: reason === null ? stateOf(record) : 'faulted',
      reason,
      frontend,
      uris: (running && frontend === 'nbd' && this.parts.statuses.urisOf(name)) || [],
      clients: running?.clients ?? 0,
      allocatedBytes: running ? allocatedBytes(running) : null,
      snapshotCount,
      created,
    };
  }

  private reasonOf(
    { name, frontend }: VolumeRecord,
    running: RunningVolume | undefined,
    unknown: string | null,
  ): string | null {
    const failure = this.parts.statuses.failureOf(name);
    if (failure) return failure.detail;
    if (running?.failure) return running.failure;
    if (running && frontend === 'nbd' && !this.parts.statuses.urisOf(name))
      return 'It is being taken over after a restart of the service.';
    if (running) return null;
    if (frontend === null) return null;
    return unknown ?? 'No data-plane process holds it at the moment. It is being attached again.';
  }
}

export function allocatedBytes({ layers }: RunningVolume): number {
  return layers.reduce((sum, layer) => sum + layer.allocatedBytes, 0);
}

async function answered(ask: () => Promise<RunningVolume[]>): Promise<RunningVolumes> {
  try {
    const volumes = await ask();
    return { byName: new Map(volumes.map((volume) => [volume.name, volume])), unknown: null };
  } catch (error) {
    // Not handled here: whoever looks is told in place of the answer.
    return { byName: new Map(), unknown: toCairnError(error).detail };
  }
}

function stateOf({ state, frontend }: VolumeRecord): Volume['state'] {
  if (state !== 'ready') return state;
  return frontend === null ? 'detached' : 'attached';
}

function snapshotView(
  volume: VolumeRecord,
  { name, id, state, created }: SnapshotRecord,
  all: readonly SnapshotRecord[],
  layers: readonly LayerInfo[],
): Snapshot {
  const layer = layers.find((each) => each.id === id);
  const parent = parentSnapshot(layer, layers, all);
  return { name, id, volume: volume.name, state, created, allocatedBytes: layer?.allocatedBytes ?? null, parent };
}

/** The nearest layer below that is a snapshot with a record: removed ones that are being merged are passed over. */
function parentSnapshot(
  layer: LayerInfo | undefined,
  layers: readonly LayerInfo[],
  all: readonly SnapshotRecord[],
): string | null {
  let below = layers.find(({ id }) => id === layer?.parent);
  for (let steps = 0; below && steps < layers.length; steps++) {
    const record = all.find(({ id }) => id === below?.id);
    if (record) return record.name;
    below = layers.find(({ id }) => id === below?.parent);
  }
  return null;
}
