import { describe, expect, it } from 'vitest';
import { mutate } from '../../scripts/testing/mutation-text.mjs';
import { mutations } from '../mutations/store-mutations.mjs';
import { textOf } from '../support/source-tree.js';

describe('a mutation', () => {
  it('is put in whatever the line breaks are', () => {
    expect(mutate('if (a) {\n  sync(\n      b);\n}\n', 'sync(b);', 'skip();')).toBe('if (a) {\n  skip();\n}\n');
  });
  it('is an error when its text is gone or is there twice', () => {
    expect(() => mutate('a = 1;', 'b = 1;', '')).toThrow('not there any more');
    expect(() => mutate('a = 1; a = 1;', 'a=1;', '')).toThrow('more than once');
  });
  it.each(mutations)('$name fits the sources, and has a reason', ({ file, find, replace, reason }) => {
    expect(mutate(textOf(file), find, replace)).not.toBe(textOf(file));
    expect(reason).toMatch(/^[A-Z].*\.$/);
  });
});
