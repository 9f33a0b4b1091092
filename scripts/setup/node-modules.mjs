// node_modules as package-lock.json says. npm keeps its own record of what it installed; comparing the two needs no stamp.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from './steps.mjs';

/** Runs `npm ci` when node_modules is missing or differs from package-lock.json. Returns a note for the progress line. */
export async function ensureNodeModules(root, progress) {
  const lock = readJson(join(root, 'package-lock.json'));
  const installed = readJson(join(root, 'node_modules/.package-lock.json'));
  if (installed !== null && matchesLock(installed, lock)) return 'up to date';
  const npm = process.env.npm_execpath;
  const [command, args] = npm ? [process.execPath, [npm]] : ['npm', []];
  await run(command, [...args, 'ci', '--include=dev', '--no-audit', '--no-fund'], { cwd: root, onLine: progress });
  return undefined;
}

/**
 * True when what npm recorded as installed is what the lock file asks for. Optional packages may be absent: they are builds for
 * other platforms.
 */
export function matchesLock(installed, lock) {
  const wanted = Object.entries(lock.packages).filter(([path]) => path !== '');
  const present = installed.packages;
  const nothingStray = Object.keys(present).every((path) => path in lock.packages);
  return (
    nothingStray &&
    wanted.every(([path, entry]) => {
      const found = present[path];
      if (found === undefined) return entry.optional === true || entry.devOptional === true || entry.peer === true;
      return found.version === entry.version && found.integrity === entry.integrity;
    })
  );
}

function readJson(path) {
  return existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : null;
}
