/**
 * Detached volumes that stay open while something is done with them in the background: snapshots merged, a clone flattened, a volume encrypted anew, a scrub. Work
 * that makes no headway is given up: the volume is closed, and what is durable of the work goes on when it is opened next.
 */
import { toCairnError } from '../errors.js';
import type { Volume } from '../generated/cairn/dataplane/v1/data_plane_pb.js';
import type { Log } from './process-log.js';
import type { DataPlaneCalls } from './supervised-process.js';

const headwayCheckMs = 30_000;

export class WorkWatch {
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
      this.log('warn', 'work on a detached volume cannot be watched', { volume, code, detail });
    });
  }
}

/** Whether something is done with the volume that an end of its process would interrupt. */
export function isWorkedOn(volume: Volume | undefined): boolean {
  if (!volume) return false;
  const isMerging = volume.layers.some(({ removed, shared }) => removed && !shared); // shared ones wait for the clone
  const isBeingCopied = volume.flatten !== undefined || volume.reencryption !== undefined;
  return isMerging || isBeingCopied || volume.scrub?.state === 'running';
}

function progressOf(volume: Volume | undefined): string {
  const removed = volume?.layers.filter((layer) => layer.removed) ?? [];
  const merges = removed.map(({ id, mergeProgress, allocatedBytes }) => `${id} ${mergeProgress} ${allocatedBytes}`);
  const { flatten, reencryption, scrub } = volume ?? {};
  return [...merges, flatten?.progress, reencryption?.progress, scrub?.progress, scrub?.blocksChecked].join();
}
