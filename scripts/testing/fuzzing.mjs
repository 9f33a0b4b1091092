// The fuzz targets under libFuzzer, built with clang into build/fuzzer.
import { existsSync, mkdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { SetupFailed, run } from '../setup/steps.mjs';
import { buildNative, corpusOf, nativeLists } from './native.mjs';

/** The targets of that name, all of them when none is named. */
export function chooseTargets(root, wanted) {
  const targets = nativeLists(root).fuzz.map((source) => basename(source, '.cc'));
  const chosen = wanted.length === 0 ? targets : targets.filter((target) => wanted.includes(target));
  if (chosen.length === 0) throw new SetupFailed(`No such target. There are: ${targets.join(', ') || 'none yet'}.`);
  return chosen;
}

export async function buildFuzzers(root, progress) {
  await buildNative(root, 'fuzzer', progress, ['-DCMAKE_CXX_COMPILER=clang++-14']);
}

/**
 * Searches for so many seconds; returns the number of runs. Inputs that reach new code are kept in build/fuzz-found/<target>; a
 * finding is written there too and throws.
 */
export async function fuzzTarget(root, target, seconds, progress) {
  const found = join(root, 'build/fuzz-found', target);
  mkdirSync(found, { recursive: true });
  const corpus = corpusOf(root, target);
  const folders = [found, ...(existsSync(corpus) ? [corpus] : [])];
  const limits = [
    `-max_total_time=${seconds}`,
    '-rss_limit_mb=4096',
    '-timeout=20',
    `-artifact_prefix=${found}/finding-`,
  ];
  const { output } = await run(join(root, 'build/fuzzer', target), [...limits, '-print_final_stats=1', ...folders], {
    onLine: progress,
  });
  return Number(/number_of_executed_units: (\d+)/.exec(output)?.[1] ?? 0);
}
