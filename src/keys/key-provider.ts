/** Where passphrases of encrypted volumes come from. Volumes remember the provider and the key's name, nothing else. */
import { CairnError } from '../errors.js';

export const keyProviderNames = ['file', 'credential', 'command', 'vault', 'vault-transit'] as const;
export type KeyProviderName = (typeof keyProviderNames)[number];

export interface KeyProvider {
  /**
   * The passphrase, in memory of its own, which the caller zeroes. Throws `key-unavailable`, saying what to do about it; what it says never
   * holds a byte of the passphrase.
   */
  passphraseOf(key: string): Promise<Uint8Array>;
}

/** libcryptsetup takes no more. */
export const passphraseBytesMax = 8 * 1024 * 1024;

const newline = 0x0a;

/** Without the newline at its end, which editors and `echo` add and nobody types. */
export function withoutNewline(bytes: Uint8Array): Uint8Array {
  return bytes.at(-1) === newline ? bytes.subarray(0, -1) : bytes;
}

/** `detail` says what is wrong and what to do about it, and holds no secret; neither does what `cause` says of itself. */
export function unavailable(detail: string, cause?: unknown): CairnError {
  return new CairnError('key-unavailable', detail, { cause });
}
