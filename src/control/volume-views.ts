/** Volumes and snapshots as the API shows them: the record, what runs of it, and what is wrong with it. */
import type { Snapshot, Volume } from '../api/schemas.js';
import { noLimits, type LayerInfo } from '../engine/native.js';
import { serves, type RunningVolume, type SeenVolume } from '../engine/node-engine.js';
import { toCairnError } from '../errors.js';
import { causesOf } from './log.js';
import type { ControlParts } from './parts.js';
import type { SnapshotRecord, VolumeRecord } from './records.js';
import type { VolumeDeletions } from './volume-deletions.js';
import { replicaDirectory, specOf } from './volume-steps.js';

/** What is open or was seen when it was closed, by name, or why that is not known. */
export interface SeenVolumes {
  byName: Map<string, SeenVolume>;
  unknown: string | null;
}

export class VolumeViews {
  constructor(
    private readonly parts: ControlParts,
    private readonly deletions: VolumeDeletions,
  ) {}

  async volumes(): Promise<Volume[]> {
    const { records, log } = this.parts;
    const [stored, counts, seen] = await Promise.all([
      records.volumes.list((error) => log('error', 'record cannot be read', { cause: causesOf(error) })),
      records.snapshotCounts(),
      this.seen(),
    ]);
    return Promise.all(stored.map(({ record }) => this.view(record, counts.get(record.id) ?? 0, seen)));
  }

  async volume(record: VolumeRecord): Promise<Volume> {
    const [snapshots, seen] = await Promise.all([this.snapshotRecords(record), this.seenOne(record.name)]);
    return this.view(record, snapshots.length, seen);
  }

  /** Oldest first; those that are deleted are there until they are merged away. */
  async snapshots(volume: VolumeRecord): Promise<Snapshot[]> {
    const [records, layers] = await Promise.all([this.snapshotRecords(volume), this.layers(volume)]);
    const known = { records: [...records, ...mergedAway(volume, records, layers)], layers, uris: this.urisOf(volume) };
    return known.records
      .sort((one, other) => one.created.localeCompare(other.created) || one.name.localeCompare(other.name))
      .map((record) => snapshotView(volume, record, known));
  }

  async seen(): Promise<SeenVolumes> {
    return answered(async () => this.parts.engine.allSeen());
  }

  private seenOne(name: string): Promise<SeenVolumes> {
    return answered(async () => {
      const seen = await this.parts.engine.seen(name);
      return seen ? [seen] : [];
    });
  }

  /** A detached volume that nobody has seen yet is opened for the moment; none when that does not work. */
  private async layers(volume: VolumeRecord): Promise<readonly LayerInfo[]> {
    const { byName } = await this.seenOne(volume.name);
    const seen = byName.get(volume.name);
    if (seen || volume.state !== 'ready' || volume.frontend !== null) return seen?.layers ?? [];
    return this.parts.engine.layers(specOf(volume)).catch(() => []);
  }

  private async snapshotRecords({ id }: VolumeRecord): Promise<SnapshotRecord[]> {
    const stored = await this.parts.records.snapshotsOf(id).list((error) => {
      throw error;
    });
    return stored.map(({ record }) => record);
  }

  private async view(record: VolumeRecord, snapshotCount: number, { byName, unknown }: SeenVolumes): Promise<Volume> {
    const { name, id, sizeBytes, blockSize, cacheMode, limits = noLimits, frontend, created } = record;
    const seen = byName.get(name);
    const attached = seen?.openness === 'attached' ? seen : undefined;
    const reason = this.reasonOf(record, attached, unknown);
    return {
      name,
      id,
      size: sizeBytes,
      blockSize,
      cacheMode,
      state: reason === null ? stateOf(record) : 'faulted',
      reason,
      frontend,
      shared: record.shared ?? false,
      raw: frontend !== null && (record.raw ?? false),
      readOnly: frontend !== null && (record.readOnly ?? false),
      uris: attached ? this.urisOf(record) : [],
      clients: attached?.clients ?? 0,
      limits,
      encryption: encryptionOf(record, seen),
      allocatedBytes: seen ? allocatedBytes(seen) : await this.allocatedWhenClosed(record),
      ...workOn(record, seen),
      deletion: deletionOf(record, this.deletions.progressOf(name)),
      snapshotCount,
      created,
    };
  }

  private urisOf({ name, frontend }: VolumeRecord): string[] {
    return (isServed(frontend) && this.parts.statuses.urisOf(name)) || [];
  }

  /** Null for one that is to be attached: its data plane cannot be asked. */
  private async allocatedWhenClosed(record: VolumeRecord): Promise<number | null> {
    if (record.state !== 'ready' || record.frontend !== null) return null;
    return this.parts.engine.allocatedBytes(replicaDirectory(record));
  }

  private reasonOf(
    { name, frontend }: VolumeRecord,
    running: SeenVolume | undefined,
    unknown: string | null,
  ): string | null {
    const failure = this.parts.statuses.failureOf(name);
    if (failure) return failure.detail;
    if (running?.failure) return running.failure;
    if (running && isServed(frontend) && !this.parts.statuses.urisOf(name))
      return 'It is being taken over after a restart of the service.';
    if (running) return null;
    if (frontend === null) return null;
    return unknown ?? 'No data-plane process holds it at the moment. It is being attached again.';
  }
}

function isServed(frontend: VolumeRecord['frontend']): boolean {
  return serves(frontend, 'nbd') || serves(frontend, 'iscsi');
}

export function allocatedBytes({ layers }: RunningVolume): number {
  return layers.reduce((sum, layer) => sum + layer.allocatedBytes, 0);
}

async function answered(ask: () => Promise<SeenVolume[]>): Promise<SeenVolumes> {
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

/** What goes on with it in the background, and where it came from. */
function workOn(
  { source, scrub }: VolumeRecord,
  seen: SeenVolume | undefined,
): Pick<Volume, 'source' | 'flatten' | 'scrub'> {
  const isFlattening = source?.state === 'flattening';
  return {
    source: source ? { volume: source.volume, snapshot: source.snapshot, linked: source.state !== 'flattened' } : null,
    flatten: isFlattening ? { progress: seen?.flatten?.progress ?? 0, problem: seen?.flatten?.problem || null } : null,
    scrub: seen?.scrub.state === 'running' || !scrub ? liveScrub(seen) : scrub,
  };
}

function liveScrub(seen: SeenVolume | undefined): Volume['scrub'] {
  if (!seen || seen.scrub.state === 'never') return null;
  return { ...seen.scrub, state: seen.scrub.state, ended: null };
}

function encryptionOf({ encryption }: VolumeRecord, seen: SeenVolume | undefined): Volume['encryption'] {
  if (!encryption) return null;
  const { provider, key, allowDiscards } = encryption;
  const { progress = 0, problem = '' } = seen?.reencryption ?? {};
  const reencryption = encryption.reencryption ? { progress, problem: problem || null } : null;
  return { provider, key, allowDiscards, reencryption };
}

function deletionOf({ state }: VolumeRecord, progress: number | null): Volume['deletion'] {
  return state === 'deleting' ? { progress: progress ?? 0 } : null;
}

function snapshotView(
  volume: VolumeRecord,
  { name, id, state, created }: SnapshotRecord,
  known: { records: readonly SnapshotRecord[]; layers: readonly LayerInfo[]; uris: readonly string[] },
): Snapshot {
  const layer = known.layers.find((each) => each.id === id);
  return {
    name,
    id,
    volume: volume.name,
    state,
    created,
    allocatedBytes: layer?.allocatedBytes ?? null,
    parent: parentSnapshot(layer, known.layers, known.records),
    shared: layer?.shared ?? false,
    checksummed: layer?.checksummed ?? false,
    mergeProgress: layer?.removed ? layer.mergeProgress : null,
    uris: state === 'ready' ? known.uris.map((uri) => snapshotUri(uri, volume.name, name)) : [],
  };
}

/** Names of snapshots that the data plane takes for itself begin so. */
const internalPrefix = '.';

/** Deleted snapshots that still take space, as records. */
function mergedAway(
  volume: VolumeRecord,
  records: readonly SnapshotRecord[],
  layers: readonly LayerInfo[],
): SnapshotRecord[] {
  const known = new Set(records.map(({ id }) => id));
  // A clone's layers from before it was made were never snapshots of its own.
  const sinceMs = volume.source ? Date.parse(volume.created) : 0;
  const removed = layers
    .filter((layer) => layer.removed && layer.createdMs >= sinceMs && !known.has(layer.id))
    .filter(({ name }) => !name?.startsWith(internalPrefix));
  return removed.map(({ id, name, createdMs }) => {
    const created = new Date(createdMs).toISOString();
    return { id, name: name ?? id, volumeId: volume.id, state: 'deleting', created };
  });
}

/** The export VOLUME@SNAPSHOT, beside the volume's own. */
function snapshotUri(uri: string, volume: string, snapshot: string): string {
  const url = new URL(uri);
  url.pathname = `/${encodeURIComponent(volume)}@${encodeURIComponent(snapshot)}`;
  return url.href;
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
