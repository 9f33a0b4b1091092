import { expect, it } from 'vitest';
import { totalsIn } from '../../scripts/testing/long-run.mjs';
import { longTable } from '../../scripts/testing/long-table.mjs';

it('adds up the totals that tests print', () => {
  const output =
    'seed: CAIRN_TEST_SEED=4\ntotal: 700 crash images\ntotal: 20 killed processes\n  total: 1 crash images\n';
  expect([...totalsIn(output)]).toEqual([
    ['crash images', 701],
    ['killed processes', 20],
  ]);
});

it('ends with a table that documents take', () => {
  const rows = [{ part: 'model', what: 'model operations', count: 1234567, seconds: 600, failed: 0 }];
  expect(longTable(rows).split('\n')).toEqual([
    '| part  | of               | total     | time   | failures |',
    '| ----- | ---------------- | --------- | ------ | -------- |',
    '| model | model operations | 1,234,567 | 10 min | none     |',
  ]);
});
