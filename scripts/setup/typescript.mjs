// TypeScript to dist/.
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { filesBeneath, hashOf, isStamped, writeStamp } from './stamps.mjs';
import { run } from './steps.mjs';

/** Compiles src/ to dist/ when it changed. Returns a note for the progress line. */
export async function ensureCompiled(root) {
  const stamp = join(root, 'dist/.stamp');
  const configuration = ['tsconfig.json', 'tsconfig.build.json', 'package-lock.json'].map((file) => join(root, file));
  const hash = hashOf(filesBeneath(join(root, 'src'), ...configuration));
  if (isStamped(stamp, hash)) return 'up to date';
  await run(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', 'tsconfig.build.json'], {
    cwd: root,
  });
  removeOrphans(join(root, 'dist'), join(root, 'src'));
  writeStamp(stamp, hash);
  return undefined;
}

/** tsc leaves the output of a source that was removed; a later import of it would work here and nowhere else. */
function removeOrphans(dist, src) {
  for (const file of filesBeneath(dist)) {
    const source = file.replace(dist, src).replace(/\.js(\.map)?$/, '.ts');
    if (/\.js(\.map)?$/.test(file) && !existsSync(source)) rmSync(file);
  }
}
