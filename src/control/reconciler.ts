/**
 * Makes what runs what is wanted: at the start, whenever a data-plane process comes up, after a failure (ever more seldom), and now and
 * then in case something was missed. Each volume for itself: one that fails or hangs holds up no other.
 */
import { toCairnError, type CairnError } from '../errors.js';
import { decide, type Action } from './decisions.js';
import { causesOf } from './log.js';
import type { ControlParts } from './parts.js';
import type { SnapshotRecord, Stored, VolumeRecord } from './records.js';
import type { VolumeDeletions } from './volume-deletions.js';
import { specOf, type VolumeSteps } from './volume-steps.js';

export interface ReconcilerTimes {
  /** Between the passes that look for what was missed. */
  periodMs: number;
  retryMinMs: number;
  retryMaxMs: number;
}

export const reconcilerTimesDefault: ReconcilerTimes = { periodMs: 30_000, retryMinMs: 100, retryMaxMs: 30_000 };

interface Retry {
  attempts: number;
  timer: NodeJS.Timeout | undefined;
}

/** What is known of a volume when its turn has come. */
interface Found {
  stored: Stored<VolumeRecord> | null;
  unsettled: Stored<SnapshotRecord>[];
}

export class Reconciler {
  private readonly retries = new Map<string, Retry>();
  /** Volumes whose turn is still to come: asking for them once more adds nothing. */
  private readonly queued = new Map<string, Promise<void>>();
  private period: NodeJS.Timeout | undefined;
  private isStopped = false;

  constructor(
    private readonly parts: ControlParts,
    private readonly steps: VolumeSteps,
    private readonly deletions: VolumeDeletions,
    private readonly times: ReconcilerTimes = reconcilerTimesDefault,
  ) {}

  /** Resolves when every volume has had its first turn, well or not. */
  async start(): Promise<void> {
    this.period = setInterval(() => this.request(), this.times.periodMs).unref();
    await this.all();
  }

  /** Begins nothing more. What is under way holds the volume's mutex until it is over. */
  stop(): void {
    this.isStopped = true;
    clearInterval(this.period);
    for (const { timer } of this.retries.values()) clearTimeout(timer);
  }

  /** Looks at all volumes now, also those that wait for a retry. Does nothing before the start, which does the same. */
  request(): void {
    if (this.period && !this.isStopped) void this.all();
  }

  /** Looks at one volume, of which something has become known. */
  requestOne(volume: string): void {
    if (this.period && !this.isStopped) void this.volume(volume);
  }

  /** An operation left something undone: it is tried again like a failure of our own. */
  leftUndone(volume: string, error: unknown): void {
    this.failed(volume, toCairnError(error));
  }

  /** Volumes that should not run are looked for beside the others, as the answer may take time. Never rejects. */
  private async all(): Promise<void> {
    await Promise.all([this.forEach(() => this.wantedVolumes()), this.forEach(() => this.runningVolumes())]);
  }

  private async forEach(namesOf: () => Promise<string[]>): Promise<void> {
    try {
      const names = await namesOf();
      await Promise.all(names.map((name) => this.volume(name)));
    } catch (error) {
      if (!this.isStopped) this.parts.log('error', 'volumes cannot be looked at', { cause: causesOf(error) });
    }
  }

  private async wantedVolumes(): Promise<string[]> {
    const stored = await this.parts.records.volumes.list((error) =>
      this.parts.log('error', 'record cannot be read', { cause: causesOf(error) }),
    );
    return stored.map(({ record }) => record.name);
  }

  private async runningVolumes(): Promise<string[]> {
    const running = await this.parts.engine.allRunning();
    return running.map(({ name }) => name);
  }

  private volume(name: string): Promise<void> {
    const queued = this.queued.get(name);
    if (queued) return queued;
    const turn = this.parts.mutex.run(name, async () => {
      this.queued.delete(name);
      if (!this.isStopped) await this.reconcile(name);
    });
    this.queued.set(name, turn);
    return turn;
  }

  /** Never rejects. */
  private async reconcile(name: string): Promise<void> {
    clearTimeout(this.retries.get(name)?.timer);
    try {
      const found = await this.find(name);
      const running = await this.parts.engine.running(name);
      const isKnown = this.parts.statuses.urisOf(name) !== undefined;
      const situation = {
        wanted: found.stored?.record ?? null,
        unsettledSnapshots: found.unsettled.length,
        running,
        isKnown,
      };
      const actions = decide(situation);
      for (const action of actions) await this.take(action, name, found);
      // A deletion goes on by itself, and nothing is known yet of how it ends.
      if (!actions.some(({ kind }) => kind === 'finish-delete')) this.succeeded(name);
    } catch (error) {
      if (!this.isStopped) this.failed(name, toCairnError(error));
    }
  }

  private async find(name: string): Promise<Found> {
    const stored = await this.parts.records.volumes.get(name);
    if (!stored) return { stored, unsettled: [] };
    const snapshots = await this.parts.records.snapshotsOf(stored.record.id).list((error) => {
      throw error;
    });
    return { stored, unsettled: snapshots.filter(({ record }) => record.state !== 'ready') };
  }

  private async take(action: Action, name: string, { stored, unsettled }: Found): Promise<void> {
    this.parts.log('info', `reconciling: ${action.kind}`, { volume: name });
    if (action.kind === 'detach') return this.steps.detach(name, false);
    if (!stored) return;
    if (action.kind === 'attach') return this.steps.attach(stored.record, action.frontend);
    if (action.kind === 'finish-delete') return void this.deletions.begin(stored);
    if (action.kind === 'finish-create') return this.steps.settleCreate(stored);
    if (action.kind === 'resize') return this.parts.engine.resize(specOf(stored.record));
    if (action.kind === 'limit') return this.parts.engine.setLimits(specOf(stored.record));
    if (action.kind === 'flatten') return this.steps.continueFlatten(stored);
    if (action.kind === 'reencrypt') return this.steps.continueReencrypt(stored);
    if (action.kind === 'rotate-key') return void (await this.steps.continueRotation(stored));
    for (const snapshot of unsettled) await this.steps.settleSnapshot(stored.record, snapshot);
  }

  private succeeded(name: string): void {
    this.retries.delete(name);
    if (!this.parts.statuses.recovered(name)) return;
    this.parts.events.add({
      kind: 'volume-recovered',
      volume: name,
      message: `Volume ${name} is as it should be again.`,
    });
    this.parts.log('info', 'volume recovered', { volume: name });
  }

  private failed(name: string, error: CairnError): void {
    const before = this.parts.statuses.failureOf(name);
    // Why it has to wait before it is tried again is no reason of its own.
    if (before && error.code === 'too-many-attempts') return this.retryLater(name);
    this.parts.statuses.failed(name, error);
    if (before?.code !== error.code) {
      this.parts.events.add({ kind: 'volume-faulted', volume: name, message: error.detail });
      this.parts.log('error', 'volume is faulted', { volume: name, code: error.code, cause: causesOf(error) });
    }
    this.retryLater(name);
  }

  private retryLater(name: string): void {
    if (this.isStopped) return;
    const { attempts, timer } = this.retries.get(name) ?? { attempts: 0, timer: undefined };
    clearTimeout(timer);
    const delayMs = Math.min(this.times.retryMaxMs, this.times.retryMinMs * 2 ** attempts);
    const next = setTimeout(() => void this.volume(name), delayMs).unref();
    this.retries.set(name, { attempts: attempts + 1, timer: next });
  }
}
