// `npm run check`: what every commit passes, in seconds. Format, lint, types, generated code current, unit tests.
import { existsSync } from 'node:fs';
import { join, relative } from 'node:path';
import { findClangFormat, nativeFiles } from './setup/formatting.mjs';
import { root, setUpNodeModules, setUpPackages } from './setup/index.mjs';
import { CommandFailed, main, run, SetupFailed, step } from './setup/steps.mjs';
import { packages } from './setup/system-packages.mjs';

const node = process.execPath;
const checks = [
  ['types', () => tool('node_modules/typescript/bin/tsc', ['--noEmit'])],
  ['lint', () => tool('node_modules/oxlint/bin/oxlint', ['--type-aware', '--deny-warnings'])],
  ['format', () => tool('node_modules/prettier/bin/prettier.cjs', ['--check', '--log-level=warn', '.'])],
  ['format of C++', checkNativeFormat],
  ['generated code', checkGenerated],
  ['unit tests', () => tool('node_modules/vitest/vitest.mjs', ['run', '--project=unit', '--reporter=dot'])],
];

await main(async () => {
  const missing = await setUpPackages(packages.checks);
  await setUpNodeModules();
  const failed = [];
  for (const [title, check] of checks) {
    try {
      await step(title, () => check(missing));
    } catch (error) {
      if (!(error instanceof CommandFailed)) throw error;
      console.log(`${error.output.trimEnd()}\n`);
      failed.push(title);
    }
  }
  if (failed.length > 0) throw new SetupFailed(`Failed: ${failed.join(', ')}.  (npm run format puts formats right.)`);
});

async function tool(path, args) {
  await run(node, [join(root, path), ...args], { cwd: root, env: { NO_COLOR: '1', FORCE_COLOR: undefined } });
}

async function checkNativeFormat() {
  const clangFormat = await findClangFormat();
  if (clangFormat === null) return 'skipped: no clang-format 14';
  const files = nativeFiles(root);
  const { output } = await run(clangFormat, ['--dry-run', ...files], { cwd: root });
  const wrong = new Set([...output.matchAll(/^(\S+?):\d+:\d+: warning:/gm)].map(([, file]) => relative(root, file)));
  if (wrong.size > 0) throw new CommandFailed(clangFormat, 'found files to format', [...wrong].join('\n'));
  return undefined;
}

async function checkGenerated(missing) {
  if (!existsSync(join(root, 'scripts/generate.mjs'))) return 'skipped: no scripts/generate.mjs';
  if (missing.some((absent) => absent.provides === 'protoc')) return 'skipped: no protoc';
  await run(node, [join(root, 'scripts/generate.mjs'), '--check'], { cwd: root });
  return undefined;
}
