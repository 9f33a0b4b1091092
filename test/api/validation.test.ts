import { describe, expect, it } from 'vitest';
import { EventQuery, NewVolume } from '../../src/api/schemas.js';
import { Validator } from '../../src/api/validation.js';

const body = new Validator(NewVolume);

function fieldsOf(value: unknown): string[] {
  return body.errorsIn(value, 'body').map(({ field }) => field);
}

describe('a valid body', () => {
  it.each([
    { name: 'a', size: 4096 },
    { name: 'a', limits: { iops: null, bandwidth: '10MiB', bandwidthBurst: 20_000_000 } },
    { name: 'a', size: '10GiB', blockSize: 512, cacheMode: 'writeback' },
    { name: `a${'.'.repeat(62)}`, size: '1' },
    { name: 'a', encryption: { provider: 'vault', key: 'team/db.1' } },
    { name: 'a', encryption: { provider: 'vault-transit', key: 'a'.repeat(63) } },
    { name: 'a', encryption: { key: 'a/b/c/d/e/f/g/h' } },
  ])('is given back as it is: %j', (value) => {
    expect(body.check(value, 'body')).toBe(value);
  });
});

describe('an invalid body', () => {
  it.each([
    [{}, ['name']],
    [{ name: 'a', source: {} }, ['source.volume', 'source.snapshot']],
    [{ name: 'a', source: 'db@one' }, ['source']],
    [{ name: '', size: 1 }, ['name']],
    [{ name: 'A', size: 1 }, ['name']],
    [{ name: '-a', size: 1 }, ['name']],
    [{ name: 'a/b', size: 1 }, ['name']],
    [{ name: 'a'.repeat(64), size: 1 }, ['name']],
    [{ name: 1, size: 1 }, ['name']],
    [{ name: 'a', size: true }, ['size']],
    [{ name: 'a', size: null }, ['size']],
    [{ name: 'a', size: 'big' }, ['size']],
    [{ name: 'a', size: 1, blockSize: 1024 }, ['blockSize']],
    [{ name: 'a', size: 1, blockSize: '512' }, ['blockSize']],
    [{ name: 'a', size: 1, cacheMode: 'fast' }, ['cacheMode']],
    [{ name: 'a', size: 1, limits: { iops: 0 } }, ['limits.iops']],
    [{ name: 'a', size: 1, limits: { iops: '5' } }, ['limits.iops']],
    [
      { name: 'a', size: 1, limits: { bandwidth: 'fast', burstSeconds: 0 } },
      ['limits.bandwidth', 'limits.burstSeconds'],
    ],
    [{ name: 'a', size: 1, limits: null }, ['limits']],
    [{ name: 'a', size: 1, encryption: { provider: 'vaults' } }, ['encryption.provider']],
    ...[
      '',
      '/a',
      'a/',
      'a//b',
      '../a',
      'a/../b',
      'a/.b',
      'A',
      'a?b',
      'a%2fb',
      'a b',
      'a'.repeat(64),
      'a/b/c/d/e/f/g/h/i',
    ].map((key): [unknown, string[]] => [{ name: 'a', size: 1, encryption: { key } }, ['encryption.key']]),
    [{ name: 'a', size: 1, colour: 'red', shape: 'round' }, ['colour', 'shape']],
    [{ nme: 'a', size: {} }, ['name', 'nme', 'size']],
    [[], ['body']],
    [null, ['body']],
    ['text', ['body']],
  ])('names each wrong field once: %j', (value, fields) => {
    expect(fieldsOf(value).sort()).toEqual(fields.sort());
  });

  it('says how to put a field of a part right', () => {
    expect(body.errorsIn({ name: 'a', limits: { bandwidth: 'fast' } }, 'body')).toEqual([
      {
        field: 'limits.bandwidth',
        detail: 'must be a whole number of bytes a second, a number with a unit such as "100MiB", or null',
      },
    ]);
  });

  it('says how to put it right', () => {
    const details = Object.fromEntries(
      body
        .errorsIn({ name: 'A', sise: 1, size: 1, cacheMode: 'x' }, 'body')
        .map(({ field, detail }) => [field, detail]),
    );
    expect(details).toEqual({
      name: expect.stringContaining('lower-case letters') as string,
      sise: 'is unknown: name, size, source, blockSize, cacheMode, limits, encryption, shared are known',
      cacheMode: 'must be one of "none", "writeback", "writethrough"',
    });
  });

  it('is refused with all of it in one error', () => {
    expect(() => body.check({ size: 1 }, 'body')).toThrow(
      expect.objectContaining({ code: 'invalid-request', errors: [{ field: 'name', detail: 'is missing' }] }),
    );
  });
});

describe('text from a URL', () => {
  const query = new Validator(EventQuery);

  it('becomes what the schema asks for', () => {
    expect(query.checkText({ follow: 'true', volume: '1' }, 'query')).toEqual({ follow: true, volume: '1' });
    expect(query.checkText({}, 'query')).toEqual({});
  });

  it.each([{ follow: 'perhaps' }, { fallow: 'true' }])('is refused when it cannot: %j', (value) => {
    expect(() => query.checkText(value, 'query')).toThrow(expect.objectContaining({ code: 'invalid-request' }));
  });
});
