/** What the administrator and the log are told when a key provider refuses. */
import { expect } from 'vitest';
import { causesOf } from '../../src/control/log.js';
import { hasCode } from '../../src/errors.js';

/** The detail of a `key-unavailable`, in which and in whose causes none of the secrets is. */
export async function keyRefusal(given: Promise<unknown>, ...secrets: readonly string[]): Promise<string> {
  const error = await given.then(
    () => expect.fail('it was not refused'),
    (reason: unknown) => reason,
  );
  if (!hasCode(error, 'key-unavailable')) throw error;
  const told = `${error.detail} | ${causesOf(error)}`;
  for (const secret of secrets) expect(told).not.toContain(secret);
  return error.detail;
}
