// `npm run test:long -- [PART...] [--minutes N] [--seed N]`: the long versions of the tests, until the totals that each is for are
// reached or N minutes a part (fuzzing: a target) are over; then one table. A failure shows the command that repeats it.
import { randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';
import { root, setUpBuild, setUpNodeModules, setUpPackages } from './setup/index.mjs';
import { CommandFailed, main, SetupFailed, step } from './setup/steps.mjs';
import { installLine, packages } from './setup/system-packages.mjs';
import { buildFuzzers, chooseTargets, fuzzTarget } from './testing/fuzzing.mjs';
import { longParts } from './testing/long-parts.mjs';
import { runRounds } from './testing/long-run.mjs';
import { longTable } from './testing/long-table.mjs';
import { runMutations } from './testing/mutations.mjs';
import { buildNative } from './testing/native.mjs';

const minutesDefault = 120;
const rows = [];
const failures = [];

await main(async () => {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { minutes: { type: 'string' }, seed: { type: 'string' } },
  });
  const parts = chooseParts(positionals);
  const minutes = values.minutes === undefined ? undefined : Number(values.minutes);
  const seed = values.seed === undefined ? randomInt(2 ** 31) : Number(values.seed);
  console.log(`The seed of this run is ${seed} (--seed).`);
  await setUp(parts);
  for (const part of parts) await runPart(part, { seed, minutes });
  for (const failure of failures) console.log(`\n--- to repeat: ${failure.trimEnd()}`);
  console.log(`\n${longTable(rows)}`);
  if (failures.length > 0) process.exitCode = 1;
});

function chooseParts(names) {
  const unknown = names.filter((name) => !longParts.some((part) => part.name === name));
  if (unknown.length > 0)
    throw new SetupFailed(
      `No such part: ${unknown.join(', ')}. There are ${longParts.map(({ name }) => name).join(', ')}.`,
    );
  return names.length === 0 ? longParts : longParts.filter(({ name }) => names.includes(name));
}

async function setUp(parts) {
  const fuzzing = parts.some((part) => part.fuzz);
  const needed = [...packages.nativeTests, ...packages.speed, ...(fuzzing ? packages.fuzzing : [])];
  const missing = await setUpPackages(needed);
  if (missing.length > 0) throw new SetupFailed(`The long run needs: ${installLine(missing)}`);
  await setUpNodeModules();
  if (parts.some((part) => part.vitest)) await setUpBuild();
  if (parts.some((part) => part.filter)) {
    for (const kind of ['plain', 'asan']) await step(`build ${kind}`, (progress) => buildNative(root, kind, progress));
  }
  if (fuzzing) await step('build of fuzz targets', (progress) => buildFuzzers(root, progress));
}

async function runPart(part, { seed, minutes }) {
  if (part.fuzz) return fuzz(part, minutes ?? part.minutesDefault);
  if (part.mutations) return mutate();
  await step(part.name, async (progress) => {
    const result = await runRounds(root, part, { seed, minutes: minutes ?? minutesDefault, progress });
    failures.push(...result.failures);
    for (const [what, count] of result.totals)
      rows.push({ part: part.name, what, count, seconds: result.seconds, failed: result.failures.length });
    return `${result.rounds} rounds${result.failures.length > 0 ? ', FAILED' : ''}`;
  });
}

async function fuzz(part, minutes) {
  for (const target of chooseTargets(root, [])) {
    await step(target, async (progress) => {
      const row = { part: part.name, what: `runs of ${target}`, count: 0, seconds: minutes * 60, failed: 0 };
      rows.push(row);
      try {
        row.count = await fuzzTarget(root, target, minutes * 60, progress);
      } catch (error) {
        if (!(error instanceof CommandFailed)) throw error;
        row.failed = 1;
        failures.push(`${error.message}\n${error.output}`);
      }
      return `${row.count} runs`;
    });
  }
}

async function mutate() {
  await step('mutations', async (progress) => {
    const started = performance.now();
    const { found, missed } = await runMutations(root, { progress });
    const seconds = (performance.now() - started) / 1000;
    rows.push({
      part: 'mutations',
      what: 'deliberate bugs, each found',
      count: found.length,
      seconds,
      failed: missed.length,
    });
    failures.push(...missed.map(({ name }) => `npm run test:mutations -- ${name}\nno test found it`));
    return `${found.length} found, ${missed.length} missed`;
  });
}
