import { describe, expect, it } from 'vitest';
import { mutate } from '../../scripts/testing/mutation-text.mjs';

describe('a mutation', () => {
  it('is put in whatever the line breaks are', () => {
    expect(mutate('if (a) {\n  sync(\n      b);\n}\n', 'sync(b);', 'skip();')).toBe('if (a) {\n  skip();\n}\n');
  });
  it('is an error when its text is gone or is there twice', () => {
    expect(() => mutate('a = 1;', 'b = 1;', '')).toThrow('not there any more');
    expect(() => mutate('a = 1; a = 1;', 'a=1;', '')).toThrow('more than once');
  });
});
