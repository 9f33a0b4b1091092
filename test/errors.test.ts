import { describe, expect, it } from 'vitest';
import {
  CairnError,
  catalogue,
  catalogued,
  fromGrpc,
  isErrorCode,
  nativeErrorCodes,
  toCairnError,
} from '../src/errors.js';

const rows = Object.entries(catalogue);

describe('the catalogue', () => {
  it.each(rows)('has a kebab-case code, an HTTP error status and advice for %s', (code, { http, advice, title }) => {
    expect(code).toMatch(/^[a-z]+(-[a-z]+)*$/);
    expect(http).toBeGreaterThanOrEqual(400);
    expect(http).toBeLessThan(600);
    expect(advice).toMatch(/\.$/);
    expect(title).not.toBe('');
  });

  it('has no title twice', () => {
    const titles = rows.map(([, { title }]) => title);
    expect(new Set(titles).size).toBe(titles.length);
  });

  it('knows its own codes only', () => {
    expect(isErrorCode('volume-not-found')).toBe(true);
    expect(isErrorCode('toString')).toBe(false);
    expect(isErrorCode(undefined)).toBe(false);
  });
});

describe('an error', () => {
  it('says what its row says', () => {
    const error = new CairnError('no-space', 'The pool is full. Free some space.');
    expect(error).toMatchObject({ title: 'No space left', httpStatus: 507, grpcStatus: 'RESOURCE_EXHAUSTED' });
    expect(error.errors).toBeUndefined();
  });

  it('lists the one field it names', () => {
    const error = new CairnError('invalid-request', 'too small', { field: 'size' });
    expect(error.errors).toEqual([{ field: 'size', detail: 'too small' }]);
  });

  it('says what to do when whoever throws knows no better', () => {
    expect(catalogued('volume-attached', 'Volume db is attached').detail).toBe(
      'Volume db is attached. Detach the volume first.',
    );
  });
});

describe("the addon's and the system's errors", () => {
  it.each(Object.entries(nativeErrorCodes))('become catalogued ones: %s is %s', (native, code) => {
    const cause = Object.assign(new Error('it happened'), { code: native });
    const error = toCairnError(cause);
    expect(error).toMatchObject({ code, cause });
    expect(error.detail).toContain('it happened. ');
  });

  it.each([new Error('bug'), 'text', null, undefined, { code: 'EWHATEVER' }])(
    'become internal when unknown: %j',
    (thrown) => {
      expect(toCairnError(thrown).code).toBe('internal');
    },
  );

  it('stay what they are when they are catalogued', () => {
    const error = new CairnError('no-space', 'full');
    expect(toCairnError(error)).toBe(error);
  });
});

describe('gRPC errors', () => {
  it('carry the code in the trailer', () => {
    expect(fromGrpc('volume-in-use', 'FAILED_PRECONDITION', 'in use')).toMatchObject({
      code: 'volume-in-use',
      detail: 'in use',
    });
  });

  it.each([
    ['UNAVAILABLE', 'data-plane-unavailable'],
    ['DEADLINE_EXCEEDED', 'data-plane-timeout'],
    ['UNKNOWN', 'internal'],
  ])('without one go by their status: %s is %s', (status, code) => {
    expect(fromGrpc(undefined, status, 'gone').code).toBe(code);
    expect(fromGrpc('no-such-code', status, 'gone').code).toBe(code);
  });
});
