/** Listening addresses: what every frontend does with them. */
import { setTimeout as delay } from 'node:timers/promises';
import { hasCode } from '../errors.js';

/** How long a dead process's address may stay in use before that counts as somebody else's. */
const addressRetryLimits = { timeoutMs: 5_000, pollMs: 50 } as const;

/** Repeats what fails because the address is still in use. */
export async function patiently<Result>(listen: () => Promise<Result>): Promise<Result> {
  const deadline = performance.now() + addressRetryLimits.timeoutMs;
  for (;;) {
    try {
      return await listen();
    } catch (error) {
      if (!hasCode(error, 'address-in-use') || performance.now() > deadline) throw error;
      await delay(addressRetryLimits.pollMs);
    }
  }
}

/** What a client on this host connects to when the listener takes every address; an IPv6 address in brackets. */
export function connectable(host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1';
  if (host === '::') return '[::1]';
  return host.includes(':') ? `[${host}]` : host;
}
