import { expect, it } from 'vitest';
import { Totals } from '../../scripts/testing/totals.mjs';
import { interpret } from '../../scripts/testing/vitest.mjs';

it('sums the runs and ends with the totals alone on their line', () => {
  const totals = new Totals();
  totals.add({ passed: 2, failed: 1 });
  totals.add({ passed: 3, skipped: [{ name: 'a test', reason: 'no fuse' }] });
  expect(totals.report()).toBe('skipped: a test: no fuse\n5 passed, 1 failed, 1 skipped');
});

it('leaves skips out of the line when there are none', () => {
  const totals = new Totals();
  totals.add({ passed: 1 });
  expect(totals.report()).toBe('1 passed, 0 failed');
});

it('counts a vitest run that failed without a failed test as one failure', () => {
  expect(interpret(null, 1, 'it crashed')).toEqual({ passed: 0, failed: 1, skipped: [], failures: ['it crashed'] });
  expect(interpret({ passed: 3, failed: 0, skipped: [] }, 0, '')).toMatchObject({ passed: 3, failed: 0, failures: [] });
});
