// The fuzz targets under libFuzzer, built with clang into build/fuzzer.
import { existsSync, mkdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { basename, join } from 'node:path';
import { CommandFailed, SetupFailed, run } from '../setup/steps.mjs';
import { buildNative, corpusOf, nativeLists } from './native.mjs';

/** Of a finding's output: its end, where the stack is. */
const outputMax = 8_000;

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

/** Every target for so many seconds, as many at once as there are processors. One target counts as one test. */
export async function fuzzAll(root, seconds, progress, fuzz = fuzzTarget) {
  const waiting = chooseTargets(root, []);
  const result = { passed: 0, failed: 0, skipped: [], failures: [] };
  const worker = async () => {
    for (let target = waiting.shift(); target !== undefined; target = waiting.shift()) {
      progress(target);
      try {
        if ((await fuzz(root, target, seconds, () => {})) === 0) throw new CommandFailed(target, 'ran nothing', '');
        result.passed += 1;
      } catch (error) {
        if (!(error instanceof CommandFailed)) throw error;
        result.failed += 1;
        result.failures.push(`${target}: ${error.message}\n${error.output.slice(-outputMax)}`);
      }
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, worker));
  return result;
}
