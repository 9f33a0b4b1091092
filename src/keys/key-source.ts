/** Where passphrases of encrypted volumes come from, as the engine sees it. */

/** What a volume remembers of its passphrase: who has it, and under which name. */
export interface KeyRef {
  provider: string;
  key: string;
}

/** `PROVIDER:KEY`, or `KEY` of the provider `file`. */
export function parseKeyRef(text: string): KeyRef {
  const colon = text.indexOf(':');
  return colon < 0 ? { provider: 'file', key: text } : { provider: text.slice(0, colon), key: text.slice(colon + 1) };
}

export interface KeySource {
  /**
   * Runs `use` with the passphrase, which is zeroed when that is done: nobody keeps it. Throws `key-unavailable` when the provider
   * cannot give it now, with what to do about it.
   */
  use<Result>(key: KeyRef, use: (passphrase: Uint8Array) => Promise<Result>): Promise<Result>;
}
