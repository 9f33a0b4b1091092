/** Style that a program can see (CONTRIBUTING.md). Each test lists the files that break the rule. */
import { basename, extname } from 'node:path';
import { describe, expect, it } from 'vitest';
import { filesOf, textOf } from '../support/source-tree.js';

const linesMax = 500;
const code = ['src', 'native', 'test', 'bench', 'scripts'].flatMap((folder) => filesOf(folder, /\.(ts|mjs|cc|h)$/));
/** This file names what it forbids. */
const here = 'test/house/files.test.ts';
const tests = /(\.test\.(ts|mjs)|_test\.cc)$/;

describe('every file', () => {
  it(`has at most ${linesMax} lines`, () => {
    const long = code
      .map((path) => [path, textOf(path).split('\n').length - 1] as const)
      .filter(([, lines]) => lines > linesMax);
    expect(long).toEqual([]);
  });

  it('is named for what it holds', () => {
    const vague = /(^|[-_.])(utils?|helpers?|manager|common|misc)([-_.]|$)/;
    expect(code.filter((path) => vague.test(basename(path)))).toEqual([]);
  });

  it('is named in kebab-case (TypeScript) or snake_case (C++)', () => {
    const patterns: Record<string, RegExp> = {
      '.ts': /^[a-z0-9]+([-.][a-z0-9]+)*\.ts$/,
      '.mjs': /^[a-z0-9]+([-.][a-z0-9]+)*\.mjs$/,
      '.cc': /^[a-z0-9]+(_[a-z0-9]+)*\.cc$/,
      '.h': /^[a-z0-9]+(_[a-z0-9]+)*\.h$/,
    };
    expect(code.filter((path) => patterns[extname(path)]?.test(basename(path)) === false)).toEqual([]);
  });

  it('leaves nothing for later', () => {
    const later = /\b(TODO|FIXME|XXX|HACK)\b/;
    expect(code.filter((path) => path !== here && later.test(textOf(path)))).toEqual([]);
  });
});

describe('every header', () => {
  it('has an include guard or pragma once', () => {
    const headers = code.filter((path) => path.endsWith('.h'));
    expect(headers.filter((path) => !/#pragma once|#ifndef CAIRN_/.test(textOf(path)))).toEqual([]);
  });
});

describe('every test', () => {
  it('waits for events, never for time to pass', () => {
    const sleeps = /\bawait (sleep|delay|setTimeout)\(\d/;
    expect(code.filter((path) => path !== here && tests.test(path) && sleeps.test(textOf(path)))).toEqual([]);
  });
});
