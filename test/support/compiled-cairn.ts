/**
 * Cairn and the stand-in of its addon as JavaScript: a process starts twice as fast as from source. Compiled once for each state
 * of the sources, whichever test comes first.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  copyFileSync,
  existsSync,
  readdirSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const standIn = 'test/support/fake-native';
const outdatedAfterMs = 3_600_000;
const cache = join(root, 'build', 'components');

export interface CompiledCairn {
  /** What runs `cairn`. */
  command: readonly string[];
  /** The module for CAIRN_NATIVE_MODULE. */
  nativeModule: string;
}

export function compiledCairn(): CompiledCairn {
  const directory = join(cache, stateOfSources());
  if (!existsSync(directory)) compileInto(directory);
  return {
    command: [process.execPath, join(directory, 'src/cli/main.js')],
    nativeModule: join(directory, `${standIn}.js`),
  };
}

/** Into another directory first, for other test files may do the same at the same time. */
function compileInto(directory: string): void {
  mkdirSync(cache, { recursive: true });
  removeOutdated();
  const scratch = mkdtempSync(join(cache, 'compiling-'));
  const config = {
    extends: join(root, 'tsconfig.json'),
    compilerOptions: { noEmit: false, rootDir: root, outDir: scratch, typeRoots: [join(root, 'node_modules/@types')] },
    include: [join(root, 'src'), join(root, `${standIn}.ts`)],
  };
  writeFileSync(join(scratch, 'tsconfig.json'), JSON.stringify(config));
  copyFileSync(join(root, 'package.json'), join(scratch, 'package.json'));
  const tsc = spawnSync(join(root, 'node_modules/.bin/tsc'), ['-p', scratch, '--noCheck'], { encoding: 'utf8' });
  if (tsc.status !== 0) throw new Error(`tsc failed: ${tsc.stdout}${tsc.stderr}`);
  publish(scratch, directory);
}

function publish(scratch: string, directory: string): void {
  try {
    renameSync(scratch, directory);
  } catch (error) {
    if (!existsSync(directory)) throw error;
    rmSync(scratch, { recursive: true }); // another test was faster
  }
}

/** Of earlier states of the sources; young ones may be in use. */
function removeOutdated(): void {
  for (const name of readdirSync(cache)) {
    const ageMs = Date.now() - statSync(join(cache, name)).mtimeMs;
    if (ageMs > outdatedAfterMs) rmSync(join(cache, name), { recursive: true, force: true });
  }
}

function stateOfSources(): string {
  const hash = createHash('sha256');
  for (const file of sources()) {
    const { mtimeMs, size } = statSync(join(root, file));
    hash.update(`${file} ${mtimeMs} ${size}\n`);
  }
  return hash.digest('hex').slice(0, 16);
}

function sources(): string[] {
  const below = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' });
  const files = below.filter((file) => file.endsWith('.ts')).map((file) => join('src', file));
  return [...files.toSorted(), `${standIn}.ts`, 'package.json'];
}
