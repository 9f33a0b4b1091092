/** What is known of added pools only while the service runs: why they are not there, and whether they are being looked at. */
import type { CairnError } from '../errors.js';

export class PoolStatuses {
  private readonly failures = new Map<string, CairnError>();
  private readonly turns = new Map<string, Promise<void>>();

  failed(pool: string, error: CairnError): void {
    this.failures.set(pool, error);
  }

  /** It is as it should be. True if it had failed before. */
  recovered(pool: string): boolean {
    return this.failures.delete(pool);
  }

  failureOf(pool: string): CairnError | undefined {
    return this.failures.get(pool);
  }

  /** Whoever wants to use the pool waits until this is over. */
  busy(pool: string, turn: Promise<void>): void {
    this.turns.set(pool, turn);
    void turn.finally(() => {
      if (this.turns.get(pool) === turn) this.turns.delete(pool);
    });
  }

  /** Resolves when nobody is bringing the pool up. */
  async settled(pool: string): Promise<void> {
    await this.turns.get(pool);
  }
}
