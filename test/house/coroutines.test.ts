/** Coroutines as the compiler gets them right. */
import { describe, expect, it } from 'vitest';
import { filesOf, textOf } from '../support/source-tree.js';

describe('native code', () => {
  it('never awaits inside a conditional expression, which g++ 12 miscompiles', () => {
    const files = ['native', 'test/native', 'test/fuzz'].flatMap((folder) => filesOf(folder, /\.(cc|h)$/));
    expect(files.flatMap(conditionalAwaits)).toEqual([]);
  });

  it('knows a conditional await when it sees one', () => {
    expect(awaitsInConditional('x = ready ? co_await a() : b();')).toBe(true);
    expect(awaitsInConditional('x = ready\n  ? a()\n  : co_await b();')).toBe(true);
    expect(awaitsInConditional('auto x = co_await a(); y = x ? 1 : 2;')).toBe(false);
    expect(awaitsInConditional('if (ready) co_return co_await a(); // why? co_await')).toBe(false);
  });
});

function conditionalAwaits(path: string): string[] {
  return awaitsInConditional(textOf(path)) ? [path] : [];
}

function awaitsInConditional(source: string): boolean {
  const code = source.replaceAll(/\/\/.*|"(?:[^"\\\n]|\\.)*"/g, '');
  return /\?[^;{}]*\bco_await\b/.test(code);
}
