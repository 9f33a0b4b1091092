import { describe, expect, it } from 'vitest';
import { spreadOf } from '../../bench/support/statistics.js';

describe('spreadOf', () => {
  it('takes the middle one of an odd number of rounds', () => {
    expect(spreadOf([9, 1, 5])).toEqual({ median: 5, min: 1, max: 9 });
  });

  it('takes the mean of the middle two of an even number', () => {
    expect(spreadOf([10, 1, 4, 2])).toEqual({ median: 3, min: 1, max: 10 });
  });

  it('sorts numbers as numbers', () => {
    expect(spreadOf([100, 9, 20]).median).toBe(20);
  });

  it('refuses to speak for no rounds', () => {
    expect(() => spreadOf([])).toThrow(RangeError);
  });
});
