/** Wrong passphrases: each costs a derivation with 64 MiB, and may be a guess. The next one has to wait, longer each time. */
import { CairnError, hasCode } from '../errors.js';

const waitMinMs = 1000;
const waitMaxMs = 60_000;

interface Wrong {
  count: number;
  /** By the monotonic clock. */
  nextMs: number;
}

export class PassphraseAttempts {
  private readonly wrong = new Map<string, Wrong>();

  constructor(private readonly nowMs: () => number = () => performance.now()) {}

  /** Throws `too-many-attempts` without calling `attempt` when the last one, of the same volume, was wrong a short time ago. */
  async run<Result>(volume: string, attempt: () => Promise<Result>): Promise<Result> {
    this.refuseSoon(volume);
    try {
      const result = await attempt();
      this.wrong.delete(volume);
      return result;
    } catch (error) {
      if (hasCode(error, 'wrong-passphrase')) this.countWrong(volume);
      throw error;
    }
  }

  forget(volume: string): void {
    this.wrong.delete(volume);
  }

  private refuseSoon(volume: string): void {
    const { count = 0, nextMs = 0 } = this.wrong.get(volume) ?? {};
    const seconds = Math.ceil((nextMs - this.nowMs()) / 1000);
    if (seconds <= 0) return;
    const times = count === 1 ? 'The last passphrase' : `The last ${count} passphrases`;
    throw new CairnError(
      'too-many-attempts',
      `${times} for volume ${volume} opened no key slot. Let the key provider give the right one, and try again in ${seconds} s.`,
      { retryAfterSeconds: seconds },
    );
  }

  private countWrong(volume: string): void {
    const count = (this.wrong.get(volume)?.count ?? 0) + 1;
    this.wrong.set(volume, { count, nextMs: this.nowMs() + Math.min(waitMaxMs, waitMinMs * 2 ** (count - 1)) });
  }
}
