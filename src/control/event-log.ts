/** What happened recently, kept in memory for people who look; nothing decides by it. */
import type { Event } from '../api/schemas.js';

export interface NewEvent {
  kind: string;
  volume?: string;
  process?: string;
  message: string;
}

const eventsMax = 1000;

export class EventLog {
  /** How many of each kind there were since the service started. */
  readonly counts = new Map<string, number>();
  private readonly events: Event[] = [];
  private lastId = 0;
  private wake: (() => void)[] = [];

  constructor(private readonly now: () => Date) {}

  add({ kind, volume = '', process = '', message }: NewEvent): void {
    const id = ++this.lastId;
    this.counts.set(kind, (this.counts.get(kind) ?? 0) + 1);
    this.events.push({
      id,
      time: this.now().toISOString(),
      kind,
      volume: volume || null,
      process: process || null,
      message,
    });
    if (this.events.length > eventsMax) this.events.shift();
    const wake = this.wake;
    this.wake = [];
    for (const each of wake) each();
  }

  /** Oldest first. */
  recent(volume?: string): Event[] {
    return this.events.filter((event) => volume === undefined || event.volume === volume);
  }

  /** Those above `afterId`, then each as it happens, until the signal aborts. One that reads too slowly misses the oldest. */
  async *follow(afterId: number, signal: AbortSignal): AsyncGenerator<Event> {
    // An id from before a restart is above all of ours: then everything is news.
    let seen = afterId > this.lastId ? 0 : afterId;
    while (!signal.aborted) {
      for (const event of this.events.filter(({ id }) => id > seen)) {
        if (signal.aborted) return;
        seen = event.id;
        yield event;
      }
      if (seen === this.lastId) await this.news(signal);
    }
  }

  private news(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        signal.removeEventListener('abort', done);
        resolve();
      };
      signal.addEventListener('abort', done);
      if (signal.aborted) done();
      else this.wake.push(done);
    });
  }
}
