/** Creating, deleting, attaching and detaching volumes: one at a time for each volume, intent in the record first. */
import { setTimeout as delay } from 'node:timers/promises';
import { frontendDefault, type AttachRequest, type DetachRequest, type NewVolume } from '../api/schemas.js';
import { without, type Frontend } from '../engine/node-engine.js';
import { CairnError, hasCode } from '../errors.js';
import { causesOf } from './log.js';
import { clonedVolumeRecord, newVolumeRecord } from './new-volume.js';
import type { ControlParts } from './parts.js';
import type { Pools } from './pools.js';
import type { Stored, VolumeRecord } from './records.js';
import type { VolumeDeletions } from './volume-deletions.js';
import type { VolumeSteps } from './volume-steps.js';

/** How long a deletion is waited for: most are over by then. */
const deletionWaitMs = 1000;

export class VolumeOperations {
  constructor(
    private readonly parts: ControlParts,
    private readonly steps: VolumeSteps,
    private readonly deletions: VolumeDeletions,
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
    const { name, source } = record;
    const origin = source ? ` from ${source.volume}@${source.snapshot}` : '';
    this.parts.events.add({ kind: 'volume-created', volume: name, message: `Volume ${name} is created${origin}.` });
  }

  /** Resolves with the record when its files are gone, or it takes long to remove them: then that goes on. */
  async delete(name: string): Promise<VolumeRecord> {
    const { record, ended } = await this.parts.mutex.run(name, async () => {
      const stored = await this.existing(name);
      if (stored.record.frontend !== null)
        throw new CairnError('volume-attached', `Volume ${name} is attached. Detach it first.`);
      await this.steps.checkPool(stored.record);
      const doomed = await this.marked(stored);
      return { record: doomed.record, ended: this.deletions.begin(doomed).ended };
    });
    const late = new AbortController();
    const timeout = delay(deletionWaitMs, undefined, { signal: late.signal }).catch(() => {});
    await Promise.race([ended, timeout]).finally(() => late.abort());
    return record;
  }

  attach(name: string, request: AttachRequest): Promise<void> {
    return this.parts.mutex.run(name, async () => {
      const stored = await this.settled(name);
      const attachment = attachmentOf(stored.record, request);
      const { frontend } = attachment;
      const before = stored.record.frontend;
      const wanted = before === frontend ? stored : await this.parts.records.volumes.change(stored, attachment);
      try {
        await this.steps.attach(wanted.record, frontend);
      } catch (error) {
        if (before === null) await this.giveUpAttach(wanted, error);
        else if (before !== frontend) await this.giveUpFrontend(wanted, before);
        throw error;
      }
      this.parts.statuses.recovered(name);
      if (before !== frontend)
        this.parts.events.add({
          kind: 'volume-attached',
          volume: name,
          message: `Volume ${name} is attached (${textOf(attachment)}).`,
        });
    });
  }

  /** The data plane first: a crash in between leaves the volume attached, as nobody was told otherwise. */
  detach(name: string, { force = false, frontend }: DetachRequest): Promise<void> {
    return this.parts.mutex.run(name, async () => {
      const stored = await this.settled(name);
      const isOneOfTwo = frontend !== undefined && stored.record.frontend === 'both';
      if (isOneOfTwo) return this.withdraw(stored, frontend, force);
      assertServedBy(stored.record, frontend);
      const isAsWanted = stored.record.frontend === null && !this.parts.statuses.failureOf(name);
      if (isAsWanted) return;
      await this.steps.detach(name, force);
      this.parts.statuses.recovered(name);
      if (stored.record.frontend !== null) await this.parts.records.volumes.change(stored, { frontend: null });
      this.parts.events.add({ kind: 'volume-detached', volume: name, message: `Volume ${name} is detached.` });
    });
  }

  private async withdraw(stored: Stored<VolumeRecord>, frontend: 'nbd' | 'iscsi', force: boolean): Promise<void> {
    const { name } = stored.record;
    await this.parts.engine.withdraw(name, frontend, force);
    const left = without('both', frontend);
    const changed = await this.parts.records.volumes.change(stored, { frontend: left });
    await this.steps.attach(changed.record, left);
    this.parts.statuses.recovered(name);
    const message = `Volume ${name} is served by ${left} alone.`;
    this.parts.events.add({ kind: 'volume-detached', volume: name, message });
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

  /** Throws when the source of a clone is not there to be cloned. */
  private async newRecord(request: NewVolume): Promise<VolumeRecord> {
    const { source } = request;
    const now = this.parts.now();
    if (!source) return newVolumeRecord(request, this.pools, now);
    const { record: volume } = await this.settled(source.volume);
    const snapshot = (await this.parts.records.snapshotsOf(volume.id).get(source.snapshot))?.record;
    if (snapshot?.state === 'ready') return clonedVolumeRecord(request, { volume, snapshot }, now);
    throw new CairnError(
      'snapshot-not-found',
      `Volume ${volume.name} has no snapshot ${JSON.stringify(source.snapshot)} that could be cloned. List its snapshots to see which exist.`,
      { field: 'source' },
    );
  }

  private async finishCreate(record: VolumeRecord): Promise<void> {
    const stored = await this.existing(record.name);
    try {
      await this.steps.finishCreate(stored);
    } catch (error) {
      await this.withoutMasking(record.name, async () => this.steps.finishDelete(await this.marked(stored)));
      throw error;
    }
  }

  private async marked(stored: Stored<VolumeRecord>): Promise<Stored<VolumeRecord>> {
    if (stored.record.state === 'deleting') return stored;
    return this.parts.records.volumes.change(stored, { state: 'deleting' });
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

  /** It goes on being served as it was. */
  private async giveUpFrontend(wanted: Stored<VolumeRecord>, before: Frontend): Promise<void> {
    await this.withoutMasking(wanted.record.name, async () => {
      await this.parts.records.volumes.change(wanted, { frontend: before });
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

interface Attachment {
  frontend: Frontend;
  raw: boolean;
  readOnly: boolean;
}

/** Throws unless the volume, as it is, can be attached so. */
function attachmentOf(volume: VolumeRecord, request: AttachRequest): Attachment {
  const { name, encryption } = volume;
  const { frontend: asked = frontendDefault, raw = false, readOnly = false } = request;
  const frontend = withPresent(volume, asked);
  const wanted = { frontend, raw, readOnly };
  const present = { frontend: volume.frontend, raw: volume.raw ?? false, readOnly: volume.readOnly ?? false };
  if (frontend === 'none' && (raw || readOnly))
    throw new CairnError('invalid-request', 'Nobody is served in maintenance: leave raw and readOnly out.', {
      field: raw ? 'raw' : 'readOnly',
    });
  if (raw && !encryption)
    throw new CairnError('volume-not-encrypted', `Volume ${name} is not encrypted: attach it without raw.`);
  if (raw && encryption?.reencryption)
    throw new CairnError(
      'reencryption-running',
      `Volume ${name} is being encrypted with a new volume key, and its ciphertext has two. Wait until that is done.`,
    );
  const isAdded = frontend === 'both' && present.frontend !== 'none';
  const isOther = (present.frontend !== frontend && !isAdded) || present.raw !== raw || present.readOnly !== readOnly;
  if (volume.frontend !== null && isOther)
    throw new CairnError(
      'volume-attached',
      `Volume ${name} is attached (${textOf({ ...present, frontend: volume.frontend })}). Detach it first to attach it otherwise (${textOf(wanted)}).`,
    );
  return wanted;
}

/** A frontend beside the one that serves the volume already; throws `volume-not-shared` where there may be only one. */
function withPresent({ name, frontend: present, shared = false }: VolumeRecord, asked: Frontend): Frontend {
  if (asked === 'none' || present === null || present === 'none' || present === asked) return asked;
  if (present === 'both') return 'both';
  if (shared) return 'both';
  throw new CairnError(
    'volume-not-shared',
    `Volume ${name} is attached (${present}), and only one frontend may serve it. Detach it first, or let both serve it: cairn access set ${name} --shared.`,
  );
}

/** Of a detached volume there is nothing to end. */
function assertServedBy({ name, frontend: present }: VolumeRecord, asked: DetachRequest['frontend']): void {
  if (asked === undefined || present === null || present === asked) return;
  throw new CairnError('volume-detached', `Volume ${name} is not attached by ${asked}, but ${present}.`);
}

function textOf({ frontend, raw, readOnly }: Attachment): string {
  return [
    ...(frontend === 'both' ? ['nbd', 'iscsi'] : [frontend]),
    ...(raw ? ['raw'] : []),
    ...(readOnly ? ['read-only'] : []),
  ].join(', ');
}
