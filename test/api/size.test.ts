import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatSize, parseSize } from '../../src/api/size.js';

describe('parseSize', () => {
  it.each([
    ['0', 0],
    ['4096', 4096],
    ['4096B', 4096],
    ['4KiB', 4096],
    ['512MiB', 512 * 2 ** 20],
    ['10GiB', 10 * 2 ** 30],
    ['10 GiB', 10 * 2 ** 30],
    ['10gib', 10 * 2 ** 30],
    ['1.5T', 1.5 * 2 ** 40],
    ['1TiB', 2 ** 40],
    [4096, 4096],
  ])('reads %j as %d bytes', (text, bytes) => {
    expect(parseSize(text)).toBe(bytes);
  });

  it.each([
    '',
    'GiB',
    '10GB',
    '10 apples',
    '-1',
    '1e3',
    '0x10',
    '1.5',
    '10GiBs',
    '1..5G',
    '.5G',
    ' 1G',
    -1,
    1.5,
    Number.NaN,
    '99999999999T',
  ])('refuses %j and names the field', (text) => {
    expect(() => parseSize(text, 'size')).toThrow(expect.objectContaining({ code: 'invalid-request', field: 'size' }));
  });

  it('reads what formatSize writes of whole units', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 1023 }),
        fc.constantFrom(1, 2 ** 10, 2 ** 20, 2 ** 30, 2 ** 40),
        (count, unit) => {
          expect(parseSize(formatSize(count * unit))).toBe(count * unit);
        },
      ),
    );
  });
});

describe('formatSize', () => {
  it.each([
    [0, '0B'],
    [1023, '1023B'],
    [1024, '1KiB'],
    [1.5 * 2 ** 40, '1.5TiB'],
    [10 * 2 ** 30, '10GiB'],
  ])('writes %d as %s', (bytes, text) => {
    expect(formatSize(bytes)).toBe(text);
  });
});
