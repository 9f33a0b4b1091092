import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { CommandFailed } from '../../scripts/setup/steps.mjs';
import { chooseTargets, fuzzAll } from '../../scripts/testing/fuzzing.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));

it('fuzzes every target once and counts findings as failures', async () => {
  const seen = [];
  const result = await fuzzAll(
    root,
    60,
    () => {},
    async (_root, target, seconds) => {
      seen.push(`${target} ${seconds}`);
      if (target === 'replica_fuzz') throw new CommandFailed(target, 'ended with 77', 'ERROR: AddressSanitizer');
      return 1000;
    },
  );
  const wanted = chooseTargets(root, []).map((target) => `${target} 60`);
  expect(new Set(seen)).toEqual(new Set(wanted));
  expect(seen).toHaveLength(wanted.length);
  expect(result).toMatchObject({ passed: seen.length - 1, failed: 1 });
  expect(result.failures[0]).toContain('AddressSanitizer');
});

it('takes a target that ran nothing for a failure', async () => {
  const result = await fuzzAll(
    root,
    60,
    () => {},
    async () => 0,
  );
  expect(result.passed).toBe(0);
});
