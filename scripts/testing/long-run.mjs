// One part of the long run: rounds of the same tests with other seeds, several at a time, until there is enough or a round fails.
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { run } from '../setup/steps.mjs';
import { parseGtest } from './gtest-output.mjs';
import { sanitizerEnvironment } from './native.mjs';

/** One round in so many runs under AddressSanitizer, which is slower by as much. */
const asanEvery = 8;
const roundTimeoutMs = 60 * 60_000;

/** The sums of the lines "total: N things" of a test's output. */
export function totalsIn(output) {
  const totals = new Map();
  for (const [, count, what] of output.matchAll(/^.*?\btotal: (\d+) (.+?)\s*$/gm))
    totals.set(what, (totals.get(what) ?? 0) + Number(count));
  return totals;
}

/**
 * Runs the part. Returns `{ totals, rounds, seconds, failures }`; a failure is the command that repeats it and what it printed.
 * `minutes` ends it when the goal has not been reached by then.
 */
export async function runRounds(root, part, { seed, minutes, jobs = availableParallelism(), progress = () => {} }) {
  const started = performance.now();
  const state = { totals: new Map(), rounds: 0, failures: [] };
  const reached = () => (state.totals.get(part.goal.of) ?? 0) >= part.goal.count;
  const over = () => performance.now() - started > minutes * 60_000;
  const worker = async () => {
    while (!reached() && !over() && state.failures.length === 0) {
      const round = (state.rounds += 1);
      const { output, failures } = await runRound(root, part, seed + round, round % asanEvery === 0);
      for (const [what, count] of totalsIn(output)) state.totals.set(what, (state.totals.get(what) ?? 0) + count);
      state.failures.push(...failures);
      progress(`${state.totals.get(part.goal.of) ?? 0} of ${part.goal.count} ${part.goal.of}`);
    }
  };
  // A real service takes the machine for itself; native tests do not mind each other.
  await Promise.all(Array.from({ length: part.vitest ? 1 : jobs }, worker));
  return { ...state, seconds: (performance.now() - started) / 1000 };
}

function runRound(root, part, seed, asan) {
  const environment = { ...part.environment, CAIRN_TEST_SEED: String(seed) };
  return part.vitest
    ? vitestRound(root, part, environment)
    : gtestRound(root, part, environment, asan ? 'asan' : 'plain');
}

async function gtestRound(root, part, environment, kind) {
  const binary = join('build', kind, 'native_tests');
  const { output, status } = await run(join(root, binary), [`--gtest_filter=${part.filter}`, '--gtest_color=no'], {
    env: { ...sanitizerEnvironment[kind], ...environment },
    timeoutMs: roundTimeoutMs,
    allowFailure: true,
  });
  const { failures } = parseGtest(output, status);
  const command = (failure) => `${assignments(environment)} ${binary} --gtest_filter=${failure.split(/\s/)[0]}`;
  return { output, failures: failures.map((failure) => `${command(failure)}\n${failure}`) };
}

async function vitestRound(root, part, environment) {
  const args = ['node_modules/vitest/vitest.mjs', 'run', part.vitest, '--project=e2e', '--disable-console-intercept'];
  const { output, status } = await run(process.execPath, args, {
    cwd: root,
    env: { ...environment, NO_COLOR: '1', FORCE_COLOR: undefined },
    timeoutMs: roundTimeoutMs,
    allowFailure: true,
  });
  const command = `${assignments(environment)} node ${args.join(' ')}`;
  return { output, failures: status === 0 ? [] : [`${command}\n${output}`] };
}

function assignments(environment) {
  return Object.entries(environment)
    .map(([name, value]) => `${name}=${value}`)
    .join(' ');
}
