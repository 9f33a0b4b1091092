/**
 * Deletions that are under way. Removing the files of a large volume takes minutes, so that goes on outside the volume's mutex; nobody
 * changes a volume in state `deleting` meanwhile. A service that ends leaves the rest to the next one.
 */
import type { ControlParts } from './parts.js';
import type { Stored, VolumeRecord } from './records.js';
import { replicaDirectory, type VolumeSteps } from './volume-steps.js';

interface Deletion {
  ended: Promise<void>;
  /** 0 to 1. */
  progress: number;
}

export class VolumeDeletions {
  private readonly running = new Map<string, Deletion>();
  private readonly stopped = new AbortController();

  constructor(
    private readonly parts: ControlParts,
    private readonly steps: VolumeSteps,
  ) {}

  /** Begins it unless it runs. Inside the volume's mutex, in which `ended` must not be awaited. Failures go to the reconciler. */
  begin(doomed: Stored<VolumeRecord>): { ended: Promise<void> } {
    const { name } = doomed.record;
    const running = this.running.get(name);
    if (running) return running;
    const deletion: Deletion = { ended: Promise.resolve(), progress: 0 };
    this.running.set(name, deletion);
    deletion.ended = this.delete(doomed, deletion).finally(() => this.running.delete(name));
    deletion.ended.catch((error: unknown) => {
      if (!this.stopped.signal.aborted) this.parts.leftUndone(name, error);
    });
    return deletion;
  }

  progressOf(name: string): number | null {
    return this.running.get(name)?.progress ?? null;
  }

  /** Resolves when none runs any more. */
  async idle(): Promise<void> {
    while (this.running.size > 0) await Promise.allSettled([...this.running.values()].map(({ ended }) => ended));
  }

  /** Waits for no deletion to be over: the data plane goes on, and the next service asks it how far it is. */
  async stop(): Promise<void> {
    this.stopped.abort();
    await this.idle();
  }

  private async delete(doomed: Stored<VolumeRecord>, deletion: Deletion): Promise<void> {
    const { engine, mutex } = this.parts;
    const { name } = doomed.record;
    await this.steps.checkPool(doomed.record);
    await engine.detach(name, true);
    await engine.deleteReplica(replicaDirectory(doomed.record), {
      onProgress: (progress) => (deletion.progress = progress),
      signal: this.stopped.signal,
    });
    await mutex.run(name, () => this.steps.forget(doomed));
  }
}
