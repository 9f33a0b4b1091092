/** Creating, deleting, attaching and detaching volumes: one at a time for each volume, intent in the record first. */
import { randomUUID } from 'node:crypto';
import { blockSizeDefault, cacheModeDefault, frontendDefault, sizeMaxBytes, sizeStepBytes } from '../api/schemas.js';
import type { AttachRequest, DetachRequest, NewVolume } from '../api/schemas.js';
import { parseSize } from '../api/size.js';
import { CairnError, hasCode } from '../errors.js';
import { causesOf } from './log.js';
import type { ControlParts } from './parts.js';
import type { Pools } from './pools.js';
import type { Stored, VolumeRecord } from './records.js';
import type { VolumeSteps } from './volume-steps.js';

export class VolumeOperations {
  constructor(
    private readonly parts: ControlParts,
    private readonly steps: VolumeSteps,
    private readonly pools: Pools,
  ) {}

  /** A volume that cannot be made is taken back, its name is free again. */
  async create(request: NewVolume): Promise<void> {
    const record = await this.newRecord(request);
    await this.parts.mutex.run(record.name, async () => {
      if (!(await this.parts.records.volumes.create(record)))
        throw new CairnError(
          'volume-exists',
          `There is a volume ${record.name} already. Choose another name, or delete it first.`,
          {
            field: 'name',
          },
        );
      await this.finishCreate(record);
    });
    this.parts.events.add({
      kind: 'volume-created',
      volume: record.name,
      message: `Volume ${record.name} is created.`,
    });
  }

  delete(name: string): Promise<void> {
    return this.parts.mutex.run(name, async () => {
      const stored = await this.existing(name);
      if (stored.record.frontend !== null)
        throw new CairnError('volume-attached', `Volume ${name} is attached. Detach it first.`);
      await this.markAndDelete(stored);
    });
  }

  attach(name: string, { frontend = frontendDefault }: AttachRequest): Promise<void> {
    return this.parts.mutex.run(name, async () => {
      const stored = await this.settled(name);
      const before = stored.record.frontend;
      if (before !== null && before !== frontend)
        throw new CairnError(
          'volume-attached',
          `Volume ${name} is attached with frontend ${before}. Detach it first to attach it with ${frontend}.`,
        );
      const wanted = before === null ? await this.parts.records.volumes.change(stored, { frontend }) : stored;
      try {
        await this.steps.attach(wanted.record, frontend);
      } catch (error) {
        if (before === null) await this.giveUpAttach(wanted, error);
        throw error;
      }
      this.parts.statuses.recovered(name);
      if (before === null)
        this.parts.events.add({
          kind: 'volume-attached',
          volume: name,
          message: `Volume ${name} is attached (${frontend}).`,
        });
    });
  }

  /** The data plane first: a crash in between leaves the volume attached, as nobody was told otherwise. */
  detach(name: string, { force = false }: DetachRequest): Promise<void> {
    return this.parts.mutex.run(name, async () => {
      const stored = await this.settled(name);
      const isAsWanted = stored.record.frontend === null && !this.parts.statuses.failureOf(name);
      if (isAsWanted) return;
      await this.steps.detach(name, force);
      this.parts.statuses.recovered(name);
      if (stored.record.frontend !== null) await this.parts.records.volumes.change(stored, { frontend: null });
      this.parts.events.add({ kind: 'volume-detached', volume: name, message: `Volume ${name} is detached.` });
    });
  }

  /** Throws `volume-not-found`. */
  async existing(name: string): Promise<Stored<VolumeRecord>> {
    const stored = await this.parts.records.volumes.get(name);
    if (stored) return stored;
    throw new CairnError(
      'volume-not-found',
      `There is no volume ${JSON.stringify(name)}. List the volumes to see which exist.`,
    );
  }

  /** Throws `volume-not-found`, and `volume-busy` while it is being created or deleted. */
  async settled(name: string): Promise<Stored<VolumeRecord>> {
    const stored = await this.existing(name);
    if (stored.record.state === 'ready') return stored;
    throw new CairnError(
      'volume-busy',
      `Volume ${name} is ${stored.record.state}. Wait until that is over, then try again.`,
    );
  }

  private async newRecord({
    name,
    size,
    blockSize = blockSizeDefault,
    cacheMode = cacheModeDefault,
  }: NewVolume): Promise<VolumeRecord> {
    const sizeBytes = volumeSize(size);
    const pool = await this.pools.choose();
    const created = this.parts.now().toISOString();
    return {
      name,
      id: randomUUID(),
      replicaId: randomUUID(),
      pool,
      sizeBytes,
      blockSize,
      cacheMode,
      state: 'creating',
      frontend: null,
      created,
    };
  }

  private async finishCreate(record: VolumeRecord): Promise<void> {
    const stored = await this.existing(record.name);
    try {
      await this.steps.finishCreate(stored);
    } catch (error) {
      await this.withoutMasking(record.name, () => this.markAndDelete(stored));
      throw error;
    }
  }

  private async markAndDelete(stored: Stored<VolumeRecord>): Promise<void> {
    const doomed =
      stored.record.state === 'deleting'
        ? stored
        : await this.parts.records.volumes.change(stored, { state: 'deleting' });
    try {
      await this.steps.finishDelete(doomed);
    } catch (error) {
      this.parts.leftUndone(doomed.record.name, error);
      throw error;
    }
  }

  /** Nobody was told that it is attached: it is to be detached again. */
  private async giveUpAttach(wanted: Stored<VolumeRecord>, error: unknown): Promise<void> {
    const { name } = wanted.record;
    this.parts.log('warn', 'volume cannot be attached', { volume: name, cause: causesOf(error) });
    await this.withoutMasking(name, async () => {
      await this.parts.records.volumes.change(wanted, { frontend: null });
      await this.steps.detach(name, true);
      this.parts.statuses.recovered(name);
    });
  }

  /** Cleans up after a failure that the caller reports; what cannot be cleaned up is left to the reconciler. */
  private async withoutMasking(volume: string, cleanUp: () => Promise<void>): Promise<void> {
    try {
      await cleanUp();
    } catch (error) {
      if (!hasCode(error, 'store-closed')) this.parts.leftUndone(volume, error);
    }
  }
}

/** Bytes; throws `invalid-request` naming `size`. */
export function volumeSize(size: number | string): number {
  const sizeBytes = parseSize(size);
  if (sizeBytes >= sizeStepBytes && sizeBytes <= sizeMaxBytes && sizeBytes % sizeStepBytes === 0) return sizeBytes;
  throw new CairnError(
    'invalid-request',
    `A volume of ${sizeBytes} bytes is not possible: choose a multiple of ${sizeStepBytes} from ${sizeStepBytes} to ${sizeMaxBytes} (64TiB).`,
    { field: 'size' },
  );
}
