/** Growing, limiting, flattening and scrubbing volumes, attached or not: inside the volume's mutex, intent in the record first. */
import { limitsText } from '../api/limits.js';
import type { LimitsChange, ResizeRequest } from '../api/schemas.js';
import { formatSize } from '../api/size.js';
import { CairnError, hasCode } from '../errors.js';
import { noLimits } from '../engine/native.js';
import { changedLimits } from './limits.js';
import { volumeSize } from './new-volume.js';
import type { ControlParts } from './parts.js';
import type { Stored, VolumeRecord } from './records.js';
import type { VolumeOperations } from './volume-operations.js';
import { specOf, type VolumeSteps } from './volume-steps.js';

export class VolumeChanges {
  constructor(
    private readonly parts: ControlParts,
    private readonly steps: VolumeSteps,
    private readonly volumes: VolumeOperations,
  ) {}

  /** Clients that are connected go on. */
  resize(name: string, { size }: ResizeRequest): Promise<void> {
    return this.parts.mutex.run(name, async () => {
      const stored = await this.volumes.settled(name);
      const sizeBytes = largerSize(stored.record, size);
      const wanted = await this.parts.records.volumes.change(stored, { sizeBytes });
      try {
        await this.parts.engine.resize(specOf(wanted.record));
      } catch (error) {
        await this.takeBack(wanted, { sizeBytes: stored.record.sizeBytes });
        throw error;
      }
      this.tell('volume-resized', name, `Volume ${name} has ${formatSize(sizeBytes)} now (${sizeBytes} bytes).`);
    });
  }

  /** Clients that are connected go on, by the new limits. */
  limit(name: string, change: LimitsChange): Promise<void> {
    return this.parts.mutex.run(name, async () => {
      const stored = await this.volumes.settled(name);
      const before = stored.record.limits ?? noLimits;
      const limits = changedLimits(before, change);
      const wanted = await this.parts.records.volumes.change(stored, { limits });
      try {
        await this.parts.engine.setLimits(specOf(wanted.record));
      } catch (error) {
        await this.takeBack(wanted, { limits: before });
        throw error;
      }
      const text = limitsText(limits);
      const message = text === null ? `Volume ${name} has no limits now.` : `Volume ${name} is limited to ${text}.`;
      this.tell('volume-limited', name, message);
    });
  }

  /** Resolves when it has begun. What it cannot finish in this life of the service, the reconciler does. */
  flatten(name: string): Promise<void> {
    return this.parts.mutex.run(name, async () => {
      const stored = await this.volumes.settled(name);
      const { source } = stored.record;
      if (!source)
        throw new CairnError(
          'volume-no-clone',
          `Volume ${name} was not cloned: it shares nothing with another volume.`,
        );
      if (source.state === 'flattened') return;
      const wanted = await this.parts.records.volumes.change(stored, { source: { ...source, state: 'flattening' } });
      try {
        await this.steps.continueFlatten(wanted);
      } catch (error) {
        if (source.state === 'linked') await this.takeBack(wanted, { source });
        throw error;
      }
      if (source.state === 'linked')
        this.tell(
          'flatten-started',
          name,
          `Volume ${name} gets copies of what it shares with ${source.volume}@${source.snapshot}.`,
        );
    });
  }

  /** Resolves when it has begun; the last one's result is forgotten. */
  scrub(name: string): Promise<void> {
    return this.parts.mutex.run(name, async () => {
      const stored = await this.volumes.settled(name);
      await this.parts.engine.startScrub(specOf(stored.record));
      await this.parts.records.volumes.change(stored, { scrub: null });
      this.tell('scrub-started', name, `Volume ${name} is being scrubbed.`);
    });
  }

  /** The data plane says that a scrub is over: its result is kept, for the volume may be closed now. */
  scrubEnded(name: string): Promise<void> {
    return this.parts.mutex.run(name, async () => {
      const [stored, seen] = [await this.parts.records.volumes.get(name), await this.parts.engine.seen(name)];
      if (!stored || !seen || (seen.scrub.state !== 'finished' && seen.scrub.state !== 'stopped')) return;
      const { state } = seen.scrub;
      const scrub = { ...seen.scrub, state, ended: this.parts.now().toISOString() };
      await this.parts.records.volumes.change(stored, { scrub });
    });
  }

  /** It failed, and the caller is told so: it must not be done later. */
  private async takeBack(wanted: Stored<VolumeRecord>, before: Partial<VolumeRecord>): Promise<void> {
    try {
      await this.parts.records.volumes.change(wanted, before);
    } catch (error) {
      if (!hasCode(error, 'store-closed')) this.parts.leftUndone(wanted.record.name, error);
    }
  }

  private tell(kind: string, volume: string, message: string): void {
    this.parts.events.add({ kind, volume, message });
  }
}

/** Bytes; throws `invalid-request` naming `size`. */
function largerSize({ name, sizeBytes: present }: VolumeRecord, size: ResizeRequest['size']): number {
  const sizeBytes = volumeSize(size);
  if (sizeBytes > present) return sizeBytes;
  const has = `Volume ${name} has ${formatSize(present)} (${present} bytes)`;
  const why = sizeBytes === present ? 'already' : 'and cannot shrink';
  throw new CairnError('invalid-request', `${has} ${why}. Choose a larger size.`, { field: 'size' });
}
