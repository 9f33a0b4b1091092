/** Waiting for a condition, never for a time. */
import { setTimeout as delay } from 'node:timers/promises';

const pollMs = 10;
const timeoutMsDefault = 10_000;

/** Resolves as soon as `condition` holds; rejects, naming `what`, when it does not within the time. */
export async function eventually(
  what: string,
  condition: () => boolean | Promise<boolean>,
  timeoutMs = timeoutMsDefault,
): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`Not within ${timeoutMs} ms: ${what}.`);
    await delay(pollMs);
  }
}
