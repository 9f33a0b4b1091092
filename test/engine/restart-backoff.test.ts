import { describe, expect, it } from 'vitest';
import { RestartBackoff, restartBackoffLimits } from '../../src/engine/restart-backoff.js';

const { delayMsMax, healthyAfterMs } = restartBackoffLimits;

describe('RestartBackoff', () => {
  it('starts without delay the first time, then doubles the delay', () => {
    const backoff = new RestartBackoff();
    expect([1, 2, 3, 4].map(() => backoff.delayAfter(0))).toEqual([0, 100, 200, 400]);
  });

  it('never waits longer than the cap', () => {
    const backoff = new RestartBackoff();
    const delays = Array.from({ length: 50 }, () => backoff.delayAfter(0));
    expect(Math.max(...delays)).toBe(delayMsMax);
  });

  it('starts without delay again after a healthy minute, and not a millisecond earlier', () => {
    const backoff = new RestartBackoff();
    backoff.delayAfter(0);
    expect(backoff.delayAfter(healthyAfterMs - 1)).toBe(100);
    expect(backoff.delayAfter(healthyAfterMs)).toBe(0);
    expect(backoff.delayAfter(0)).toBe(100);
  });
});
