// `npm run build`: set-up, the addon and dist/, without starting anything. Arguments name further groups of system packages.
import { setUpBuild, setUpNodeModules, setUpPackages } from './setup/index.mjs';
import { main } from './setup/steps.mjs';
import { packages } from './setup/system-packages.mjs';

await main(async () => {
  await setUpPackages(process.argv.slice(2).flatMap((group) => packages[group]));
  await setUpNodeModules();
  await setUpBuild();
});
