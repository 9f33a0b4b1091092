/** Replicas being removed, which takes minutes for large ones: whoever asks is told how far it is. */
import { setTimeout as delay } from 'node:timers/promises';
import { removeReplica } from './replica-directory.js';

export interface RemovalState {
  finished: boolean;
  /** 0 to 1. */
  progress: number;
}

interface Removal {
  done: Promise<void>;
  progress: number;
}

/** How long one question waits for the end, so that nobody need ask often. */
const waitMsDefault = 500;

export class ReplicaRemovals {
  private readonly removals = new Map<string, Removal>();

  constructor(
    private readonly removeFiles: (
      directory: string,
      report: (progress: number) => void,
    ) => Promise<void> = removeReplica,
    private readonly waitMs = waitMsDefault,
  ) {}

  /** Begins it, or looks at the one that runs. One that failed is begun anew by the next question. */
  async remove(directory: string): Promise<RemovalState> {
    const removal = this.removals.get(directory) ?? this.begin(directory);
    const late = new AbortController();
    const isDone = await Promise.race([
      removal.done.then(() => true),
      delay(this.waitMs, false, { signal: late.signal }).catch(() => false),
    ]).finally(() => late.abort());
    return isDone ? { finished: true, progress: 1 } : { finished: false, progress: removal.progress };
  }

  private begin(directory: string): Removal {
    const removal: Removal = { done: Promise.resolve(), progress: 0 };
    removal.done = this.removeFiles(directory, (progress) => (removal.progress = progress)).finally(() =>
      this.removals.delete(directory),
    );
    removal.done.catch(() => {}); // whoever waits hears of it
    this.removals.set(directory, removal);
    return removal;
  }
}
