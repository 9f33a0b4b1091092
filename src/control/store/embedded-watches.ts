/** Watches of an {@link EmbeddedStore}. Each reads the stored history at its own pace, so a slow one queues nothing. */
import { EventEmitter, once } from 'node:events';
import { CairnError } from '../../errors.js';
import type { WatchBatch } from './key-value-store.js';

/** What watches see of the store. */
export interface History {
  position(): { revision: number; compacted: number };
  /** Everything that changed from `revision` on. */
  batches(revision: number): Iterable<WatchBatch>;
}

export class EmbeddedWatches {
  private readonly changes = new EventEmitter().setMaxListeners(0);
  private readonly closing = new AbortController();

  constructor(private readonly history: History) {}

  /** New revisions are in the history. */
  wake(): void {
    this.changes.emit('change');
  }

  close(): void {
    this.closing.abort();
  }

  async *from(prefix: string, fromRevision: number, signal?: AbortSignal): AsyncGenerator<WatchBatch> {
    let next = fromRevision;
    while (!signal?.aborted) {
      const { revision } = this.history.position();
      for (const batch of this.read(prefix, next)) {
        next = batch.revision + 1;
        yield batch;
        if (signal?.aborted) return;
      }
      next = Math.max(next, revision + 1);
      // What was committed while the batches were consumed has woken nobody: it must not be waited for.
      if (this.history.position().revision < next) await this.change(signal);
    }
  }

  private read(prefix: string, fromRevision: number): WatchBatch[] {
    this.requireOpen();
    const { compacted } = this.history.position();
    if (fromRevision < compacted)
      throw new CairnError(
        'revision-compacted',
        `Changes before revision ${compacted} are forgotten, ${fromRevision} was asked for. List again and watch from the revision of that list.`,
      );
    return [...this.history.batches(fromRevision)]
      .map(({ revision, events }) => ({ revision, events: events.filter(({ key }) => key.startsWith(prefix)) }))
      .filter(({ events }) => events.length > 0);
  }

  /** Resolves at the next change, or when the watch or the store ends. */
  private async change(signal: AbortSignal | undefined): Promise<void> {
    const ends = AbortSignal.any([this.closing.signal, ...(signal ? [signal] : [])]);
    await once(this.changes, 'change', { signal: ends }).catch((error: unknown) => {
      if (!ends.aborted) throw error;
    });
  }

  private requireOpen(): void {
    if (this.closing.signal.aborted)
      throw new CairnError('store-closed', 'The store is closed: the service is stopping. Try again once it runs.');
  }
}
