/** The repository's own files as the house rules see them. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';

export const repository = new URL('../..', import.meta.url).pathname.replace(/\/$/, '');

/** Paths beneath `folder`, relative to the repository; generated code and fuzz inputs are nobody's style. */
export function filesOf(folder: string, pattern: RegExp): string[] {
  const top = join(repository, folder);
  if (!existsSync(top)) return [];
  return readdirSync(top, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(repository, join(entry.parentPath ?? entry.path, entry.name)))
    .filter((path) => pattern.test(path) && !/(^|\/)(generated|corpus|node_modules|results)\//.test(path))
    .sort();
}

export function textOf(path: string): string {
  return readFileSync(join(repository, path), 'utf8');
}
