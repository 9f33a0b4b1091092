// `npm run build`: set-up, the addon and dist/, without starting anything.
import { setUpBuild, setUpNodeModules, setUpPackages } from './setup/index.mjs';
import { main } from './setup/steps.mjs';

await main(async () => {
  await setUpPackages();
  await setUpNodeModules();
  await setUpBuild();
});
