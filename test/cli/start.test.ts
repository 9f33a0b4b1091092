/** The command line starts fast: what a command does not need is not loaded. */
import { existsSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { describe, expect, it } from 'vitest';
import { repository, textOf } from '../support/source-tree.js';

/** Takes longer to load than everything else that a command needs. */
const heavy = ['typebox', 'fastify', '@grpc/grpc-js', 'lmdb', '@bufbuild/protobuf'];

/** The packages that a file loads when it is imported, by itself and by what it imports. */
function packagesLoadedBy(path: string, seen = new Set<string>()): string[] {
  if (seen.has(path)) return [];
  seen.add(path);
  const statics = textOf(path).matchAll(/^(?:import|export)(?! type)[^;]*? from '([^']+)';$/gms);
  return [...statics].flatMap(([, specifier = '']) => {
    if (!specifier.startsWith('.')) return [specifier];
    const file = normalize(join(dirname(path), specifier)).replace(/\.js$/, '.ts');
    return existsSync(join(repository, file)) ? packagesLoadedBy(file, seen) : [];
  });
}

describe('what is loaded', () => {
  it.each(['main', 'volume', 'snapshot', 'status', 'version', 'data-plane'])('by cairn %s is light', (name) => {
    const loaded = packagesLoadedBy(`src/cli/${name}.ts`);
    expect(loaded).not.toEqual([]);
    const weighty = loaded.filter((each) => heavy.some((one) => each === one || each.startsWith(`${one}/`)));
    expect(weighty).toEqual([]);
  });
});
