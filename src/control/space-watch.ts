/**
 * Looks now and then how much space pools have left. Where it runs low, an event says so, and initiators of volumes there are told, as thin
 * provisioning promises them (SBC-3 section 4.7.3.8).
 */
import type { Pool } from '../api/node-schemas.js';
import { serves } from '../engine/node-engine.js';
import { causesOf } from './log.js';
import type { ControlParts } from './parts.js';

/** Low again needs so much more than enough: space that comes and goes at the limit is told once. */
const recoveredFactor = 1.2;

export class SpaceWatch {
  /** Directories of pools that run low. */
  private readonly low = new Set<string>();
  /** Those of which this service has told: the one before it may have said something else to initiators. */
  private readonly known = new Set<string>();
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly parts: Pick<ControlParts, 'records' | 'engine' | 'events' | 'log'>,
    private readonly pools: { list(): Promise<Pool[]> },
    /** Of a pool's size; 0: never. */
    private readonly lowPercent: number,
    private readonly periodMs: number,
  ) {}

  start(): void {
    if (this.lowPercent > 0) this.timer = setInterval(() => void this.look(), this.periodMs).unref();
  }

  stop(): void {
    clearInterval(this.timer);
  }

  async look(): Promise<void> {
    try {
      for (const pool of await this.pools.list()) await this.lookAt(pool);
    } catch (error) {
      this.parts.log('error', 'the space of pools cannot be looked at', { cause: causesOf(error) });
    }
  }

  private async lookAt({ directory, sizeBytes, availableBytes }: Pool): Promise<void> {
    if (sizeBytes === null || availableBytes === null || sizeBytes === 0) return;
    const wasLow = this.low.has(directory);
    const percent = (availableBytes / sizeBytes) * 100;
    const isLow = percent < this.lowPercent * (wasLow ? recoveredFactor : 1);
    if (isLow) this.low.add(directory);
    else this.low.delete(directory);
    if (isLow !== wasLow) this.tellOfChange(directory, isLow, percent);
    // Each time while it is low: a volume may have been attached since.
    if (isLow || wasLow || !this.known.has(directory)) await this.tellInitiators(directory, isLow);
    this.known.add(directory);
  }

  private tellOfChange(directory: string, isLow: boolean, percent: number): void {
    const what = isLow
      ? `Pool ${directory} has only ${percent.toFixed(1)} % of its space left. Delete snapshots or volumes there, or make it larger.`
      : `Pool ${directory} has ${percent.toFixed(1)} % of its space left: that is enough again.`;
    this.parts.events.add({ kind: isLow ? 'pool-space-low' : 'pool-space-recovered', message: what });
    this.parts.log(isLow ? 'warn' : 'info', what, { pool: directory });
  }

  private async tellInitiators(directory: string, isLow: boolean): Promise<void> {
    const stored = await this.parts.records.volumes.list(() => {});
    const concerned = stored.filter(({ record }) => record.pool === directory && serves(record.frontend, 'iscsi'));
    for (const { record } of concerned) await this.tellInitiatorsOf(record.name, isLow);
  }

  /** One whose data plane does not answer keeps nobody else from being told. */
  private async tellInitiatorsOf(volume: string, isLow: boolean): Promise<void> {
    try {
      await this.parts.engine.setSpaceLow(volume, isLow);
    } catch (error) {
      this.parts.log('warn', 'initiators cannot be told of the space of the pool', { volume, cause: causesOf(error) });
    }
  }
}
