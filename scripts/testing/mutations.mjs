// Deliberate bugs, one after the other, in a copy of the native sources: a test must fail for each.
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run, SetupFailed } from '../setup/steps.mjs';
import { mutations } from '../../test/mutations/store-mutations.mjs';
import { parseGtest } from './gtest-output.mjs';
import { mutate } from './mutation-text.mjs';

const attempts = 3;
const testTimeoutMs = 4 * 60_000;
/** More than in every run of the tests, for some bugs show in few orders of events. */
const scale = {
  CAIRN_CRASH_IMAGES: '4000',
  CAIRN_CRASH_SECONDS: '20',
  CAIRN_KILL_TEST_SECONDS: '6',
  CAIRN_MODEL_OPERATIONS: '20000',
  CAIRN_HISTORY_STEPS: '2000',
  CAIRN_TEST_DIRECTORY: '/dev/shm',
  GTEST_FAIL_FAST: '1',
};

/** The mutations of those names, all of them when none is named. Throws when one no longer fits the sources. */
export function chooseMutations(root, names = []) {
  const chosen = names.length === 0 ? mutations : mutations.filter(({ name }) => names.includes(name));
  if (chosen.length === 0)
    throw new SetupFailed(`No such mutation. There are ${mutations.map(({ name }) => name).join(', ')}.`);
  for (const mutation of chosen) mutated(root, mutation);
  return chosen;
}

/** Returns those that a test found, `{ name, by, seconds }`, and those that none did. */
export async function runMutations(root, { names = [], progress = () => {}, onResult = () => {} } = {}) {
  const chosen = chooseMutations(root, names);
  const tree = join(root, 'build/mutations/tree');
  copyTree(root, tree);
  progress('build without a mutation');
  await build(root, tree);
  // What fails anyway finds nothing.
  for (const filter of new Set(chosen.map(({ tests }) => tests))) {
    progress(`${filter} without a mutation`);
    const failed = await firstFailure(root, filter);
    if (failed !== undefined) throw new SetupFailed(`${failed} fails without a mutation: mend that first.`);
  }
  /** @type {Record<'found' | 'missed', { name: string, by?: string, seconds?: number }[]>} */
  const result = { found: [], missed: [] };
  for (const mutation of chosen) {
    progress(mutation.name);
    const outcome = { name: mutation.name, ...(await tryMutation(root, tree, mutation)) };
    (outcome.by === undefined ? result.missed : result.found).push(outcome);
    onResult(outcome);
  }
  return result;
}

function mutated(root, { name, file, find, replace }) {
  try {
    return mutate(readFileSync(join(root, file), 'utf8'), find, replace);
  } catch (error) {
    throw new SetupFailed(`Mutation ${name}: ${error.message} in ${file}. Bring it up to date in test/mutations.`);
  }
}

function copyTree(root, tree) {
  rmSync(tree, { recursive: true, force: true });
  mkdirSync(tree, { recursive: true });
  for (const folder of ['native', 'test/native', 'test/interop', 'test/fuzz'])
    cpSync(join(root, folder), join(tree, folder), { recursive: true });
}

async function build(root, tree) {
  const folder = join(root, 'build/mutations/build');
  const settings = ['-DCAIRN_SANITIZE=none', '-DCMAKE_CXX_COMPILER_LAUNCHER=ccache'];
  const env = { CCACHE_BASEDIR: tree, CCACHE_NOHASHDIR: '1' };
  await run('cmake', ['-S', join(tree, 'native'), '-B', folder, '-G', 'Ninja', ...settings], { env });
  await run('cmake', ['--build', folder, '--target', 'native_tests'], { env });
}

async function tryMutation(root, tree, mutation) {
  const started = performance.now();
  const path = join(tree, mutation.file);
  const original = readFileSync(path, 'utf8');
  writeFileSync(path, mutated(root, mutation));
  try {
    await build(root, tree);
    for (let attempt = 0; attempt < attempts; attempt += 1) {
      const by = await firstFailure(root, mutation.tests);
      if (by !== undefined) return { by, seconds: (performance.now() - started) / 1000 };
    }
    return {};
  } finally {
    writeFileSync(path, original);
  }
}

/** The test that failed; one that ended the process or never came back has failed as well. */
async function firstFailure(root, filter) {
  const binary = join(root, 'build/mutations/build/native_tests');
  const options = { env: scale, timeoutMs: testTimeoutMs, allowFailure: true };
  const { output, status } = await run(binary, [`--gtest_filter=${filter}`, '--gtest_color=no'], options);
  return parseGtest(output, status).failures[0]?.split(/\s/)[0];
}
