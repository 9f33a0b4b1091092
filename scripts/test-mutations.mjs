// `npm run test:mutations [-- NAME...]`: shows for each deliberate bug of test/mutations which test finds it.
import { root, setUpPackages } from './setup/index.mjs';
import { main, SetupFailed } from './setup/steps.mjs';
import { installLine, packages } from './setup/system-packages.mjs';
import { runMutations } from './testing/mutations.mjs';

await main(async () => {
  const missing = await setUpPackages([...packages.nativeTests, ...packages.speed]);
  if (missing.length > 0) throw new SetupFailed(`The mutations need: ${installLine(missing)}`);
  const { found, missed } = await runMutations(root, { names: process.argv.slice(2), onResult: print });
  console.log(`\n${found.length} found, ${missed.length} missed`);
  if (missed.length > 0) process.exitCode = 1;
});

function print({ name, by, seconds }) {
  console.log(by === undefined ? `  ${name}: NOT FOUND` : `  ${name}: ${by} (${seconds.toFixed(0)} s)`);
}
