/** The running leases of an {@link EmbeddedStore}: one timer each. */
import { CairnError, hasCode } from '../../errors.js';
import type { LeaseId } from './key-value-store.js';

/** How soon an expiry is tried again that could not be written, for instance because the disk is full. */
const retrySeconds = 1;

interface RunningLease {
  ttlSeconds: number;
  timer: NodeJS.Timeout;
}

export class EmbeddedLeases {
  private readonly running = new Map<LeaseId, RunningLease>();

  /** `expire` is called when a lease's time is over; it calls {@link end}. */
  constructor(private readonly expire: (id: LeaseId) => Promise<void>) {}

  begin(id: LeaseId, ttlSeconds: number): void {
    this.running.set(id, { ttlSeconds, timer: this.timer(id, ttlSeconds) });
  }

  keepAlive(id: LeaseId): void {
    const { ttlSeconds, timer } = this.require(id) as RunningLease;
    clearTimeout(timer);
    this.begin(id, ttlSeconds);
  }

  /** Throws `lease-not-found`; `null`, no lease, is fine. */
  require(id: LeaseId | null): RunningLease | null {
    if (id === null) return null;
    const lease = this.running.get(id);
    if (!lease) throw new CairnError('lease-not-found', `The lease ${id} expired or was revoked. Take a new lease.`);
    return lease;
  }

  /** False when it had ended already. */
  end(id: LeaseId): boolean {
    clearTimeout(this.running.get(id)?.timer);
    return this.running.delete(id);
  }

  stop(): void {
    for (const { timer } of this.running.values()) clearTimeout(timer);
  }

  private timer(id: LeaseId, ttlSeconds: number): NodeJS.Timeout {
    return setTimeout(() => {
      this.expire(id).catch((error: unknown) => {
        // A store that closes meanwhile finds the lease when it is opened again.
        if (!hasCode(error, 'store-closed')) this.begin(id, retrySeconds);
      });
    }, ttlSeconds * 1000).unref();
  }
}
