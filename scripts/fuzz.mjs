// `npm run fuzz [SECONDS] [TARGET...]`: every fuzz target under libFuzzer (clang), each for so many seconds (60).
// Inputs that reach new code are kept in build/fuzz-found/<target>; a finding is written there too and fails the run.
import { existsSync, mkdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { root, setUpNodeModules, setUpPackages } from './setup/index.mjs';
import { main, run, SetupFailed, step } from './setup/steps.mjs';
import { installLine, packages } from './setup/system-packages.mjs';
import { buildNative, corpusOf, nativeLists } from './testing/native.mjs';

const secondsDefault = 60;

await main(async () => {
  const [seconds = String(secondsDefault), ...wanted] = process.argv.slice(2);
  if (!/^\d+$/.test(seconds)) throw new SetupFailed(`Seconds for each target are a number, not ${seconds}.`);
  const targets = nativeLists(root).fuzz.map((source) => basename(source, '.cc'));
  const chosen = wanted.length === 0 ? targets : targets.filter((target) => wanted.includes(target));
  if (chosen.length === 0) throw new SetupFailed(`No such target. There are: ${targets.join(', ') || 'none yet'}.`);
  const missing = await setUpPackages([...packages.nativeTests, ...packages.fuzzing]);
  if (missing.length > 0) throw new SetupFailed(`Fuzzing needs: ${installLine(missing)}`);
  await setUpNodeModules();
  await step('build', (progress) => buildNative(root, 'fuzzer', progress, ['-DCMAKE_CXX_COMPILER=clang++-14']));
  for (const target of chosen) await step(target, (progress) => fuzz(target, seconds, progress));
});

async function fuzz(target, seconds, progress) {
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
  return `${/number_of_executed_units: (\d+)/.exec(output)?.[1] ?? '?'} runs`;
}
