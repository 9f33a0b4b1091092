/** Passphrases as the engine uses them: from whoever has them, for as long as they are needed, and not for guessing. */
import { CairnError } from '../errors.js';
import type { KeyRef, KeySource } from '../keys/key-source.js';
import type { VolumeSpec } from './node-engine.js';
import { PassphraseAttempts } from './passphrase-attempts.js';

type Use<Result> = (passphrase: Uint8Array) => Promise<Result>;

export class Passphrases {
  private readonly attempts = new PassphraseAttempts();

  constructor(private readonly keys: KeySource) {}

  /** That of the volume's own key. Besides what the provider says, throws `too-many-attempts`. */
  ofVolume<Result>({ name, encryption }: VolumeSpec, use: Use<Result>): Promise<Result> {
    if (!encryption) throw new CairnError('volume-not-encrypted', `Volume ${name} is not encrypted.`);
    return this.attempts.run(name, () => this.keys.use(encryption.key, use));
  }

  ofKey<Result>(key: KeyRef, use: Use<Result>): Promise<Result> {
    return this.keys.use(key, use);
  }

  /** Its key slots are others now. */
  forgetAttempts(volume: string): void {
    this.attempts.forget(volume);
  }
}
