/** Where passphrases of encrypted volumes come from, as the engine sees it. */

/** What a volume remembers of its passphrase: who has it, and under which name. */
export interface KeyRef {
  provider: string;
  key: string;
}

export interface KeySource {
  /**
   * Runs `use` with the passphrase, which is zeroed when that is done: nobody keeps it. Throws `key-unavailable` when the provider
   * cannot give it now, with what to do about it.
   */
  use<Result>(key: KeyRef, use: (passphrase: Uint8Array) => Promise<Result>): Promise<Result>;
}
