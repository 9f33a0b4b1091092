// The native addon, build/Release/cairn.node, by node-gyp.
import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { filesBeneath, hashOf, isStamped, writeStamp } from './stamps.mjs';
import { run } from './steps.mjs';
import { findCommand } from './system-packages.mjs';

/** Builds the addon when its sources or flags changed. Returns a note for the progress line. */
export async function ensureAddon(root, progress) {
  const stamp = join(root, 'build/addon.stamp');
  const hash = hashOf(
    filesBeneath(join(root, 'native'), join(root, 'binding.gyp'), join(root, 'scripts/list-native-sources.mjs')),
    process.version,
    process.arch,
    root,
  );
  if (existsSync(join(root, 'build/Release/cairn.node')) && isStamped(stamp, hash)) return 'up to date';
  const nodeGyp = join(root, 'node_modules/node-gyp/bin/node-gyp.js');
  const args = [
    'configure',
    'build',
    '--release',
    `--jobs=${availableParallelism()}`,
    ...headersOption(process.execPath),
  ];
  await run(process.execPath, [nodeGyp, ...args], {
    cwd: root,
    env: compilers(),
    onLine: (line) => !line.startsWith('gyp info') && progress(line.trim()),
  });
  writeStamp(stamp, hash);
  return undefined;
}

/** Node's own headers when they came with it, so that the build needs no download. */
export function headersOption(execPath, exists = existsSync) {
  const include = nodeIncludeFolder(execPath, exists);
  return include === null ? [] : [`--nodedir=${dirname(dirname(include))}`];
}

/** The folder of node_api.h in the prefix that holds `execPath` (PREFIX/bin/node), or `null`. */
export function nodeIncludeFolder(execPath, exists = existsSync) {
  const include = join(dirname(dirname(execPath)), 'include/node');
  return exists(join(include, 'node_api.h')) ? include : null;
}

/** The compilers in the environment of node-gyp: through ccache when it is there and nothing else was chosen. */
export function compilers(environment = process.env, ccache = findCommand('ccache')) {
  if (ccache === null || environment.CXX !== undefined) return {};
  return { CC: environment.CC ?? 'ccache gcc', CXX: 'ccache g++' };
}
