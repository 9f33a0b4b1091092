// `npm test [unit|native|e2e]`: set-up, then the tests (all of them unless a part is named), then one line of totals.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { root, setUpBuild, setUpNodeModules, setUpPackages } from './setup/index.mjs';
import { CommandFailed, main, SetupFailed, step } from './setup/steps.mjs';
import { packages } from './setup/system-packages.mjs';
import { buildFuzzers, fuzzAll } from './testing/fuzzing.mjs';
import {
  addonSettings,
  asanAddonEnvironment,
  buildNative,
  hasAsanAddon,
  nativeLists,
  replayCorpora,
  runGtest,
} from './testing/native.mjs';
import { summary, Totals } from './testing/totals.mjs';
import { runVitest } from './testing/vitest.mjs';

const parts = {
  all: ['native', 'unit', 'components', 'addon', 'e2e'],
  unit: ['unit', 'components'],
  native: ['native'],
  e2e: ['addon', 'e2e'],
};
/** For each fuzz target. */
const fuzzSeconds = 60;
const totals = new Totals();
const failures = [];

await main(async () => {
  const [part = 'all', filter = '*'] = process.argv.slice(2);
  const chosen = parts[part];
  if (chosen === undefined)
    throw new SetupFailed(`No such part of the tests: ${part}. There are ${Object.keys(parts).join(', ')}.`);
  const missing = await setUpPackages(packagesFor(chosen));
  await setUpNodeModules();
  if (chosen.some((name) => name !== 'native')) await setUpBuild();
  if (chosen.includes('native')) await testNative(missing, filter);
  for (const project of chosen.filter((name) => name !== 'native')) {
    await counted(`vitest ${project}`, (progress) => runVitest(root, project, progress));
  }
  if (chosen.includes('native') && chosen.includes('addon')) await testAddonUnderAsan();
  if (part === 'all') await fuzz(missing);
  finish();
});

/** The boundary to JavaScript, which gtest does not reach. */
async function testAddonUnderAsan() {
  if (!hasAsanAddon(root)) {
    totals.skip('addon under ASan', 'it was not built: its sources failed, or Node came without its headers');
    return;
  }
  const environment = await asanAddonEnvironment(root);
  await counted('vitest addon, ASan', (progress) => runVitest(root, 'addon', progress, environment));
}

/** New inputs, for a little while; `npm run fuzz` and `npm run test:long` go on for longer. */
async function fuzz(missing) {
  const needed = missing.filter((absent) => packages.fuzzing.includes(absent)).map((absent) => absent.name);
  if (needed.length > 0) {
    totals.skip('fuzzing', `${needed.join(', ')} not installed`);
    return;
  }
  if (await built('build fuzzers', (progress) => buildFuzzers(root, progress)))
    await counted('fuzzing', (progress) => fuzzAll(root, fuzzSeconds, progress));
}

function packagesFor(chosen) {
  return [
    ...(chosen === parts.all ? packages.fuzzing : []),
    ...(chosen.includes('native') ? packages.nativeTests : []),
    ...(chosen.includes('e2e') ? packages.clients : []),
    ...(chosen.includes('unit') ? packages.checks : []),
  ];
}

async function testNative(missing, filter) {
  const needed = missing.filter((absent) => packages.nativeTests.includes(absent)).map((absent) => absent.name);
  if (needed.length > 0) {
    totals.skip('native tests', `${needed.join(', ')} not installed`);
    return;
  }
  const lists = nativeLists(root);
  for (const kind of ['asan', 'tsan']) {
    if (
      !(await built(`build ${kind}`, (progress) =>
        buildNative(root, kind, progress, kind === 'asan' ? addonSettings(root) : []),
      ))
    )
      continue;
    if (lists.tests.length > 0) await counted(`gtest ${kind}`, (progress) => runGtest(root, kind, filter, progress));
    if (kind === 'asan' && lists.fuzz.length > 0) await counted('fuzz corpora', () => replayCorpora(root));
  }
}

/** A build that fails costs its own tests, not the rest of the run. */
async function built(title, work) {
  try {
    await step(title, work);
    return true;
  } catch (error) {
    if (!(error instanceof CommandFailed)) throw error;
    totals.add({ failed: 1 });
    failures.push(`${title}\n${error.output.replaceAll(/^\[\d+\/\d+\] (Building|Linking) .*\n/gm, '')}`);
    return false;
  }
}

async function counted(title, work) {
  await step(title, async (progress) => {
    const result = await work(progress);
    totals.add(result);
    failures.push(...result.failures.map((failure) => `${title}\n${failure}`));
    return summary(result);
  });
}

function finish() {
  for (const failure of failures) console.log(`\n--- ${failure.trimEnd()}`);
  console.log(`\n${totals.report()}`);
  if (totals.failed > 0) process.exitCode = 1;
  if (totals.passed + totals.failed === 0)
    throw new SetupFailed(`No test ran${existsSync(join(root, 'test')) ? '' : ': there is no test/'}.`);
}
