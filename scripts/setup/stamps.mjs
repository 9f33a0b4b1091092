// Stamps: the hash of everything a build step reads, kept beside what it made, so that a step with nothing to do is skipped.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** All files beneath `paths` (files or folders; missing ones are left out), sorted. */
export function filesBeneath(...paths) {
  return paths.filter(existsSync).flatMap(expand).toSorted();
}

/** The hash of the files' names and contents and of `extra` (flags, versions). */
export function hashOf(files, ...extra) {
  const hash = createHash('sha256');
  for (const file of files) hash.update(`${file}\0`).update(readFileSync(file)).update('\0');
  for (const text of extra) hash.update(`${text}\0`);
  return hash.digest('hex');
}

export function isStamped(stamp, hash) {
  return existsSync(stamp) && readFileSync(stamp, 'utf8') === hash;
}

export function writeStamp(stamp, hash) {
  mkdirSync(dirname(stamp), { recursive: true });
  writeFileSync(stamp, hash);
}

function expand(path) {
  if (!statSync(path).isDirectory()) return [path];
  return readdirSync(path, { withFileTypes: true }).flatMap((entry) => {
    const child = join(path, entry.name);
    return entry.isDirectory() ? expand(child) : [child];
  });
}
