// The C++ files that clang-format keeps, and the clang-format that does: 14, Debian 12's, since each version differs a little.
import { join } from 'node:path';
import { filesBeneath } from './stamps.mjs';
import { run } from './steps.mjs';
import { findCommand } from './system-packages.mjs';

export function nativeFiles(root) {
  const folders = ['native', 'test/native', 'test/fuzz', 'bench'].map((folder) => join(root, folder));
  return filesBeneath(...folders).filter((file) => /\.(cc|h)$/.test(file));
}

/** The command, or `null` when version 14 is not here. */
export async function findClangFormat() {
  if (findCommand('clang-format-14') !== null) return 'clang-format-14';
  if (findCommand('clang-format') === null) return null;
  const { output } = await run('clang-format', ['--version'], { allowFailure: true });
  return /version 14\./.test(output) ? 'clang-format' : null;
}
