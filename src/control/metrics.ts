/** Prometheus' metrics of the service and its volumes, read when they are asked for. */
import { collectDefaultMetrics, Counter, Gauge, Registry } from 'prom-client';
import type { Volume } from '../api/schemas.js';
import type { VolumeCounters } from '../engine/native.js';
import { volumeEventKinds, type DataPlaneProcess, type SeenVolume } from '../engine/node-engine.js';

export interface Observed {
  volumes: readonly Volume[];
  seen: ReadonlyMap<string, SeenVolume>;
  processes: readonly DataPlaneProcess[];
  /** How many of each kind. */
  events: ReadonlyMap<string, number>;
}

/** `scale`: from what is counted to what is told, which is in seconds. */
const counterHelp: Readonly<Record<keyof VolumeCounters, [name: string, help: string, scale?: number]>> = {
  reads: ['reads_total', 'Read requests answered.'],
  readBytes: ['read_bytes_total', 'Bytes read by clients.'],
  writes: ['writes_total', 'Write requests answered.'],
  writtenBytes: ['written_bytes_total', 'Bytes written by clients.'],
  flushes: ['flushes_total', 'Flush requests answered.'],
  trims: ['trims_total', 'Trim requests answered.'],
  trimmedBytes: ['trimmed_bytes_total', 'Bytes trimmed by clients.'],
  writeZeroes: ['write_zeroes_total', 'Write-zeroes requests answered.'],
  errors: ['errors_total', 'Requests answered with an error.'],
  throttled: ['throttled_total', 'Requests that waited for the limits, or for the share of other volumes.'],
  throttledMs: ['throttled_seconds_total', 'How long they waited, all together.', 0.001],
};

const gaugeHelp: Readonly<Record<string, [help: string, value: (volume: Volume) => number | null]>> = {
  size_bytes: ['Size that clients see.', ({ size }) => size],
  allocated_bytes: ['Space its data takes, snapshots included.', (volume) => volume.allocatedBytes],
  clients: ['Connected clients.', ({ clients }) => clients],
  snapshots: ['Snapshots.', ({ snapshotCount }) => snapshotCount],
  damaged_blocks: ['Damaged blocks that the last scrub found.', ({ scrub }) => scrub?.blocksDamaged ?? null],
  scrub_progress: [
    'How much of the scrub that runs is done, from 0 to 1.',
    ({ scrub }) => (scrub?.state === 'running' ? scrub.progress : null),
  ],
  flatten_progress: [
    'How much of the flattening that runs is done, from 0 to 1.',
    ({ flatten }) => flatten?.progress ?? null,
  ],
  reencryption_progress: [
    'How much of the volume has its new volume key, from 0 to 1, while it gets one.',
    ({ encryption }) => encryption?.reencryption?.progress ?? null,
  ],
  attached: ['1 if it is attached and well.', ({ state }) => Number(state === 'attached')],
  faulted: ['1 if it is not as it should be.', ({ state }) => Number(state === 'faulted')],
};

export class Metrics {
  private readonly registry = new Registry();
  private readonly counters: [keyof VolumeCounters, Counter, scale: number][];
  private readonly gauges: [(volume: Volume) => number | null, Gauge][];
  private readonly events: Counter;
  private readonly processStarts: Gauge;

  constructor(
    version: string,
    private readonly observe: () => Promise<Observed>,
  ) {
    const { registry } = this;
    const registers = [registry];
    collectDefaultMetrics({ register: registry });
    new Gauge({ name: 'cairn_info', help: 'The version of the service.', labelNames: ['version'], registers }).set(
      { version },
      1,
    );
    this.counters = Object.entries(counterHelp).map(([field, [name, help, scale = 1]]) => [
      field as keyof VolumeCounters,
      new Counter({ name: `cairn_volume_${name}`, help, labelNames: ['volume'], registers }),
      scale,
    ]);
    this.gauges = Object.entries(gaugeHelp).map(([name, [help, value]]) => [
      value,
      new Gauge({ name: `cairn_volume_${name}`, help, labelNames: ['volume'], registers }),
    ]);
    this.events = new Counter({
      name: 'cairn_events_total',
      help: 'Events since the service started, e.g. scrub-finished, repaired, volume-failed, no-space.',
      labelNames: ['kind'],
      registers,
    });
    this.processStarts = new Gauge({
      name: 'cairn_data_plane_start_time_seconds',
      help: 'When the data-plane process started, Unix time.',
      labelNames: ['process'],
      registers,
    });
  }

  async text(): Promise<{ contentType: string; text: string }> {
    const observed = await this.observe();
    // Without a pause between clearing and filling, so that no other scrape sees half.
    this.fillVolumes(observed);
    this.fillProcesses(observed);
    this.fillEvents(observed);
    return { contentType: this.registry.contentType, text: await this.registry.metrics() };
  }

  private fillVolumes({ volumes, seen }: Observed): void {
    for (const [value, gauge] of this.gauges) {
      gauge.reset();
      for (const volume of volumes) {
        const known = value(volume);
        if (known !== null) gauge.set({ volume: volume.name }, known);
      }
    }
    for (const [field, counter, scale] of this.counters) {
      counter.reset();
      for (const { name, counters, openness } of seen.values())
        if (openness === 'attached') counter.inc({ volume: name }, counters[field] * scale);
    }
  }

  private fillEvents({ events }: Observed): void {
    this.events.reset();
    const never = volumeEventKinds.map((kind) => [kind, 0] as const);
    for (const [kind, count] of new Map([...never, ...events])) this.events.inc({ kind }, count);
  }

  private fillProcesses({ processes }: Observed): void {
    this.processStarts.reset();
    for (const { id, startTimeMs } of processes) this.processStarts.set({ process: id }, startTimeMs / 1000);
  }
}
