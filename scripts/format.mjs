// `npm run format`: prettier and clang-format over everything.
import { join } from 'node:path';
import { findClangFormat, nativeFiles } from './setup/formatting.mjs';
import { root, setUpNodeModules, setUpPackages } from './setup/index.mjs';
import { main, run, step } from './setup/steps.mjs';
import { packages } from './setup/system-packages.mjs';

await main(async () => {
  await setUpPackages(packages.checks);
  await setUpNodeModules();
  await step('prettier', async () => {
    await run(
      process.execPath,
      [join(root, 'node_modules/prettier/bin/prettier.cjs'), '--write', '--log-level=warn', '.'],
      { cwd: root },
    );
  });
  await step('clang-format', async () => {
    const clangFormat = await findClangFormat();
    if (clangFormat === null) return 'skipped: no clang-format 14';
    const files = nativeFiles(root);
    if (files.length > 0) await run(clangFormat, ['-i', ...files], { cwd: root });
    return undefined;
  });
});
