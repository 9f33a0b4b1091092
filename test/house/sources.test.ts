/** native/sources.json is the one list of native sources: what is not in it is neither shipped nor tested. */
import { existsSync, readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { filesOf, repository, textOf } from '../support/source-tree.js';

const lists = JSON.parse(textOf('native/sources.json')) as Record<'library' | 'addon' | 'tests' | 'fuzz', string[]>;

describe('native/sources.json', () => {
  it('names only files that exist', () => {
    const listed = Object.values(lists).flat();
    expect(listed.filter((path) => !existsSync(join(repository, path)))).toEqual([]);
  });

  it('names no file twice', () => {
    const listed = Object.values(lists).flat();
    expect(listed.filter((path, index) => listed.indexOf(path) !== index)).toEqual([]);
  });

  it('names every source of the library and of the addon', () => {
    const sources = filesOf('native', /\.cc$/);
    const addon = sources.filter((path) => path.startsWith('native/addon/'));
    expect(addon.filter((path) => !lists.addon.includes(path))).toEqual([]);
    expect(sources.filter((path) => !addon.includes(path) && !lists.library.includes(path))).toEqual([]);
  });

  it('names every test and every fuzz target', () => {
    expect(filesOf('test/native', /\.cc$/).filter((path) => !lists.tests.includes(path))).toEqual([]);
    expect(filesOf('test/fuzz', /_fuzz\.cc$/).filter((path) => !lists.fuzz.includes(path))).toEqual([]);
  });
});

describe('every fuzz target', () => {
  it('has a corpus', () => {
    const names = lists.fuzz.map((path) => basename(path, '.cc'));
    expect(names.filter((name) => inputsOf(name) + inputsOf(name.replace(/_fuzz$/, '')) === 0)).toEqual([]);
  });
});

function inputsOf(name: string): number {
  const folder = join(repository, 'test/fuzz/corpus', name);
  return existsSync(folder) ? readdirSync(folder).length : 0;
}
