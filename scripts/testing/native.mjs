// The native tests: gtest under a sanitizer and the fuzz targets over their corpora, built by CMake into build/<sanitizer>.
import { existsSync, readdirSync, readFileSync, symlinkSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { basename, join } from 'node:path';
import { nodeIncludeFolder } from '../setup/addon.mjs';
import { run } from '../setup/steps.mjs';
import { findCommand } from '../setup/system-packages.mjs';
import { parseGtest } from './gtest-output.mjs';

const runTimeoutMs = 15 * 60_000;

/** Sanitizers: which CMake setting, and what the run-time is told. */
export const sanitizerEnvironment = {
  plain: {},
  asan: {
    ASAN_OPTIONS: 'detect_leaks=1:strict_string_checks=1:detect_stack_use_after_return=1',
    UBSAN_OPTIONS: 'print_stacktrace=1:halt_on_error=1',
  },
  tsan: { TSAN_OPTIONS: 'halt_on_error=1:second_deadlock_stack=1' },
};
const cmakeName = { plain: 'none', asan: 'address', tsan: 'thread', fuzzer: 'fuzzer' };

export function nativeLists(root) {
  return JSON.parse(readFileSync(join(root, 'native/sources.json'), 'utf8'));
}

/** Configures and builds build/<kind>. `extra`: further CMake settings. */
export async function buildNative(root, kind, progress, extra = []) {
  const folder = join(root, 'build', kind);
  const settings = [`-DCAIRN_SANITIZE=${cmakeName[kind]}`, '-DCMAKE_BUILD_TYPE=', ...launcher(), ...extra];
  await run('cmake', ['-S', join(root, 'native'), '-B', folder, '-G', 'Ninja', ...settings], { onLine: progress });
  await run('cmake', ['--build', folder, '-j', String(availableParallelism())], { onLine: progress });
  if (kind === 'asan') linkCompileCommands(root);
}

/** CMake settings that build the addon too; empty when Node came without its headers. */
export function addonSettings(root) {
  const include = nodeIncludeFolder(process.execPath);
  if (include === null) return [];
  return [`-DCAIRN_NODE_INCLUDE=${include}`, `-DCAIRN_NODE_ADDON_API=${join(root, 'node_modules/node-addon-api')}`];
}

export function hasAsanAddon(root) {
  return existsSync(join(root, 'build/asan/addon/build/Release/cairn.node'));
}

/** The environment in which Node loads the addon of build/asan. */
export async function asanAddonEnvironment(root) {
  const { output } = await run('g++', ['-print-file-name=libasan.so']);
  return {
    LD_PRELOAD: output.trim(),
    CAIRN_PREBUILD: join(root, 'build/asan/addon'),
    ASAN_OPTIONS: 'detect_leaks=1',
    LSAN_OPTIONS: `suppressions=${join(root, 'scripts/testing/leaks-of-others.txt')}:print_suppressions=0`,
    UBSAN_OPTIONS: sanitizerEnvironment.asan.UBSAN_OPTIONS,
  };
}

/** Runs native_tests of build/<kind>, split over the cores. `filter` is gtest's. */
export async function runGtest(root, kind, filter, progress) {
  const binary = join(root, 'build', kind, 'native_tests');
  const shards = availableParallelism();
  const runs = Array.from({ length: shards }, async (_, shard) => {
    const env = {
      ...sanitizerEnvironment[kind],
      GTEST_TOTAL_SHARDS: String(shards),
      GTEST_SHARD_INDEX: String(shard),
    };
    const [command, ...args] = [
      ...(await withoutRandomAddresses()),
      binary,
      `--gtest_filter=${filter}`,
      '--gtest_color=no',
    ];
    const onLine = (line) => line.startsWith('[ RUN') && progress(line.slice(13));
    const { output, status } = await run(command, args, { env, timeoutMs: runTimeoutMs, allowFailure: true, onLine });
    return parseGtest(output, status);
  });
  return merge(await Promise.all(runs));
}

/** Replays every fuzz target's corpus; one target counts as one test. */
export async function replayCorpora(root) {
  const results = [];
  for (const source of nativeLists(root).fuzz) {
    const target = basename(source, '.cc');
    results.push(await replay(root, target));
  }
  return merge(results);
}

/** The inputs kept for `target` (nbd_option_fuzz): test/fuzz/corpus/nbd_option or .../nbd_option_fuzz. */
export function corpusOf(root, target) {
  const folders = [target, target.replace(/_fuzz$/, '')].map((name) => join(root, 'test/fuzz/corpus', name));
  return folders.find(existsSync) ?? folders[1];
}

async function replay(root, target) {
  const corpus = corpusOf(root, target);
  const inputs = existsSync(corpus) ? readdirSync(corpus).map((file) => join(corpus, file)) : [];
  if (inputs.length === 0)
    return { passed: 0, failed: 1, skipped: [], failures: [`${target} has no corpus in ${corpus}`] };
  const { status, output } = await run(join(root, 'build/asan', target), inputs, {
    env: sanitizerEnvironment.asan,
    timeoutMs: runTimeoutMs,
    allowFailure: true,
  });
  if (status === 0) return { passed: 1, failed: 0, skipped: [], failures: [] };
  return { passed: 0, failed: 1, skipped: [], failures: [`${target} ended with ${status}\n${output}`] };
}

function merge(results) {
  return {
    passed: results.reduce((sum, result) => sum + result.passed, 0),
    failed: results.reduce((sum, result) => sum + result.failed, 0),
    skipped: results.flatMap((result) => result.skipped),
    failures: results.flatMap((result) => result.failures),
  };
}

function launcher() {
  return findCommand('ccache') === null ? [] : ['-DCMAKE_CXX_COMPILER_LAUNCHER=ccache'];
}

/** clangd and clang-tidy look for build/compile_commands.json. */
function linkCompileCommands(root) {
  const link = join(root, 'build/compile_commands.json');
  if (!existsSync(link)) symlinkSync('asan/compile_commands.json', link);
}

/** GCC 12's TSan does not know address spaces as random as newer kernels make them; setarch -R asks for a fixed one. */
async function withoutRandomAddresses() {
  const prefix = ['setarch', '-R'];
  const { status } = await run(prefix[0], [prefix[1], 'true'], { allowFailure: true });
  return status === 0 ? prefix : [];
}
