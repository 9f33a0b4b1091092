/**
 * Makes added pools what their records say: opened and mounted at the start, and later, ever more seldom, when a device or a key was missing.
 * Each for itself. Pools stay as they are when the service ends, for the data plane goes on.
 */
import { toCairnError, type CairnError } from '../errors.js';
import { causesOf } from './log.js';
import type { ControlParts } from './parts.js';
import type { PoolStatuses } from './pool-statuses.js';
import type { PoolSteps } from './pool-steps.js';
import type { ReconcilerTimes } from './reconciler.js';
import type { PoolRecord, Stored } from './records.js';

interface Retry {
  attempts: number;
  timer: NodeJS.Timeout;
}

export class PoolKeeper {
  private readonly retries = new Map<string, Retry>();
  private period: NodeJS.Timeout | undefined;
  private isStopped = false;

  constructor(
    private readonly parts: ControlParts,
    private readonly steps: PoolSteps,
    private readonly statuses: PoolStatuses,
    private readonly times: ReconcilerTimes,
    /** A pool can be used again. */
    private readonly onRecovered: () => void,
  ) {}

  /** Resolves when every pool is having its first turn: whoever wants to use one waits for it. */
  async start(): Promise<void> {
    this.period = setInterval(() => void this.all(), this.times.periodMs).unref();
    await this.all();
  }

  /** Begins nothing more. What is under way holds the pool's mutex until it is over. */
  stop(): void {
    this.isStopped = true;
    clearInterval(this.period);
    for (const { timer } of this.retries.values()) clearTimeout(timer);
  }

  /** An operation has left something undone. */
  leftUndone(pool: string, error: unknown): void {
    this.failed(pool, toCairnError(error));
  }

  /** It is gone. */
  forget(pool: string): void {
    clearTimeout(this.retries.get(pool)?.timer);
    this.retries.delete(pool);
    this.statuses.recovered(pool);
  }

  private async all(): Promise<void> {
    try {
      const stored = await this.parts.records.pools.list((error) =>
        this.parts.log('error', 'record cannot be read', { cause: causesOf(error) }),
      );
      for (const { record } of stored) this.pool(record.name);
    } catch (error) {
      if (!this.isStopped) this.parts.log('error', 'pools cannot be looked at', { cause: causesOf(error) });
    }
  }

  private pool(name: string): void {
    this.statuses.busy(
      name,
      this.parts.mutex.run(poolMutexKey(name), () => this.settle(name)),
    );
  }

  /** Never rejects. */
  private async settle(name: string): Promise<void> {
    clearTimeout(this.retries.get(name)?.timer);
    if (this.isStopped) return;
    try {
      const stored = await this.parts.records.pools.get(name);
      if (stored) await this.take(stored);
      this.succeeded(name);
    } catch (error) {
      if (!this.isStopped) this.failed(name, toCairnError(error));
    }
  }

  private async take(stored: Stored<PoolRecord>): Promise<void> {
    const { state } = stored.record;
    if (state === 'ready') return this.steps.bringUp(stored.record);
    this.parts.log('info', `pool found ${state}`, { pool: stored.record.name });
    if (state === 'creating') await this.steps.finishCreate(stored);
    else if (state === 'undoing') await this.steps.finishUndo(stored);
    else await this.steps.finishRemove(stored);
  }

  private succeeded(name: string): void {
    this.retries.delete(name);
    if (!this.statuses.recovered(name)) return;
    this.parts.events.add({ kind: 'pool-recovered', message: `Pool ${name} is there again.` });
    this.parts.log('info', 'pool recovered', { pool: name });
    this.onRecovered();
  }

  private failed(name: string, error: CairnError): void {
    const before = this.statuses.failureOf(name);
    this.statuses.failed(name, error);
    if (before?.detail !== error.detail) {
      this.parts.events.add({ kind: 'pool-unavailable', message: `Pool ${name} is not there: ${error.detail}` });
      this.parts.log('error', 'pool is not there', { pool: name, code: error.code, cause: causesOf(error) });
    }
    this.retryLater(name);
  }

  private retryLater(name: string): void {
    if (this.isStopped) return;
    const { attempts = 0, timer: earlier } = this.retries.get(name) ?? {};
    clearTimeout(earlier);
    const delayMs = Math.min(this.times.retryMaxMs, this.times.retryMinMs * 2 ** attempts);
    const timer = setTimeout(() => this.pool(name), delayMs).unref();
    this.retries.set(name, { attempts: attempts + 1, timer });
  }
}

/** Volumes and pools share the mutexes, and no volume has a blank in its name. */
export function poolMutexKey(pool: string): string {
  return `pool ${pool}`;
}
