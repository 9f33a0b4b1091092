/** Dependencies point downward: which folder may use which. */
import { dirname, join, normalize } from 'node:path';
import { describe, expect, it } from 'vitest';
import { filesOf, textOf } from '../support/source-tree.js';

/** native/AREA -> the areas it may include. Every area may include itself. */
const nativeLayers: Record<string, readonly string[]> = {
  base: [],
  aio: ['base'],
  block: ['base', 'aio'],
  qos: ['base', 'aio', 'block'],
  dmcrypt: ['base', 'aio', 'block'],
  store: ['base', 'aio', 'block'],
  frontend: ['base', 'aio'],
  nbd: ['base', 'aio', 'block', 'frontend'],
  iscsi: ['base', 'aio', 'block', 'frontend'],
  addon: ['base', 'aio', 'block', 'qos', 'dmcrypt', 'store', 'frontend', 'nbd', 'iscsi'],
};

/**
 * src/FOLDER -> what it may import besides itself, as folders or single files of src. The catalogue of errors is everybody's.
 * control knows the engine only as its interface, and implements what api declares; api knows neither: what it calls is passed in.
 */
const sourceLayers: Record<string, readonly string[]> = {
  config: [],
  keys: [],
  engine: ['generated', 'keys/key-source.ts', 'keys/core-dumps.ts'],
  control: ['api', 'engine/node-engine.ts', 'engine/native.ts', 'engine/pool-devices.ts', 'keys/key-source.ts'],
  api: [],
  cli: ['api', 'config', 'control', 'engine', 'keys'],
};
const everybodys = ['errors.ts'];

describe('native code', () => {
  const files = filesOf('native', /\.(cc|h)$/);

  it('includes only what lies below', () => {
    expect(files.flatMap(upwardIncludes)).toEqual([]);
  });

  it('knows Node in native/addon only', () => {
    const node = /#include [<"](napi|node_api|node|uv|v8)\.h[>"]/;
    expect(files.filter((path) => !path.startsWith('native/addon/') && node.test(textOf(path)))).toEqual([]);
  });

  it('includes napi.h in at most three files, for it takes seconds to compile', () => {
    expect(files.filter((path) => textOf(path).includes('<napi.h>')).length).toBeLessThanOrEqual(3);
  });
});

describe('TypeScript', () => {
  const files = filesOf('src', /\.ts$/);

  it('imports only what lies below', () => {
    expect(files.flatMap(upwardImports)).toEqual([]);
  });

  it('loads the addon in src/engine/native.ts only', () => {
    const loads = /node-gyp-build|cairn\.node|process\.dlopen/;
    expect(files.filter((path) => path !== 'src/engine/native.ts' && loads.test(textOf(path)))).toEqual([]);
  });
});

function upwardIncludes(path: string): string[] {
  const area = folderOf(path);
  const allowed = nativeLayers[area];
  if (allowed === undefined) return [`${path}: native/${area} has no row in nativeLayers`];
  const included = [...textOf(path).matchAll(/^#include "([^"]+)"/gm)].map(([, header = '']) => header);
  return included
    .filter((header) => {
      const target = header.includes('/') ? (header.split('/')[0] ?? '') : area;
      return target !== area && !allowed.includes(target);
    })
    .map((header) => `${path} includes ${header}`);
}

function upwardImports(path: string): string[] {
  const folder = folderOf(path);
  if (path === `src/${folder}`) return [];
  if (folder === 'generated') return [];
  const allowed = sourceLayers[folder];
  if (allowed === undefined) return [`${path}: src/${folder} has no row in sourceLayers`];
  return importsOf(path)
    .filter((target) => !target.startsWith(`src/${folder}/`))
    .filter((target) => ![...allowed, ...everybodys].some((prefix) => isOrIsBeneath(target, `src/${prefix}`)))
    .map((target) => `${path} imports ${target}`);
}

/** The files of src that a file imports, `import()` and re-exports included. */
function importsOf(path: string): string[] {
  const specifiers = textOf(path).matchAll(/(?:from|import)\s*\(?\s*'(\.{1,2}\/[^']+)'/g);
  return [...specifiers].map(([, specifier = '']) => normalize(join(dirname(path), specifier)).replace(/\.js$/, '.ts'));
}

function isOrIsBeneath(path: string, prefix: string): boolean {
  return path === prefix || path.startsWith(`${prefix}/`);
}

function folderOf(path: string): string {
  return path.split('/')[1] ?? '';
}
