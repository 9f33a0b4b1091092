/**
 * Detached volumes that stay open until their removed snapshots are merged away. A merge that makes no headway is given up: the
 * volume is closed, and the merge goes on when it is opened next.
 */
import { toCairnError } from '../errors.js';
import type { Volume } from '../generated/cairn/dataplane/v1/data_plane_pb.js';
import type { Log } from './process-log.js';
import type { DataPlaneCalls } from './supervised-process.js';

const headwayCheckMs = 30_000;

export class MergeWatch {
  private readonly timers = new Map<string, NodeJS.Timeout>();

  constructor(
    private readonly giveUp: (volume: string) => Promise<void>,
    private readonly log: Log,
  ) {}

  watch(volume: string, calls: DataPlaneCalls): void {
    if (this.timers.has(volume)) return;
    let last = '';
    const check = async (): Promise<void> => {
      const answer = await calls.getVolume({ volume });
      const now = progressOf(answer.volume);
      if (now === last) await this.giveUp(volume);
      last = now;
    };
    const timer = setInterval(() => this.attempt(volume, check), headwayCheckMs);
    this.timers.set(volume, timer.unref());
  }

  /** Runs `close` if the volume is one of those watched. */
  finished(volume: string, close: () => Promise<void>): void {
    if (this.timers.has(volume)) this.attempt(volume, close);
  }

  forget(volume: string): void {
    clearInterval(this.timers.get(volume));
    this.timers.delete(volume);
  }

  stop(): void {
    for (const volume of this.timers.keys()) this.forget(volume);
  }

  private attempt(volume: string, task: () => Promise<void>): void {
    task().catch((error: unknown) => {
      this.forget(volume);
      const { code, detail } = toCairnError(error);
      this.log('warn', 'merge of a detached volume cannot be watched', { volume, code, detail });
    });
  }
}

function progressOf(volume: Volume | undefined): string {
  const removed = volume?.layers.filter((layer) => layer.removed) ?? [];
  return removed.map(({ id, mergeProgress, allocatedBytes }) => `${id} ${mergeProgress} ${allocatedBytes}`).join();
}
