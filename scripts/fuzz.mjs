// `npm run fuzz [SECONDS] [TARGET...]`: every fuzz target under libFuzzer (clang), each for so many seconds (60).
import { root, setUpNodeModules, setUpPackages } from './setup/index.mjs';
import { main, SetupFailed, step } from './setup/steps.mjs';
import { installLine, packages } from './setup/system-packages.mjs';
import { buildFuzzers, chooseTargets, fuzzTarget } from './testing/fuzzing.mjs';

const secondsDefault = 60;

await main(async () => {
  const [seconds = String(secondsDefault), ...wanted] = process.argv.slice(2);
  if (!/^\d+$/.test(seconds)) throw new SetupFailed(`Seconds for each target are a number, not ${seconds}.`);
  const chosen = chooseTargets(root, wanted);
  const missing = await setUpPackages([...packages.nativeTests, ...packages.fuzzing]);
  if (missing.length > 0) throw new SetupFailed(`Fuzzing needs: ${installLine(missing)}`);
  await setUpNodeModules();
  await step('build', (progress) => buildFuzzers(root, progress));
  for (const target of chosen)
    await step(target, async (progress) => `${await fuzzTarget(root, target, seconds, progress)} runs`);
});
