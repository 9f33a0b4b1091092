// One vitest run of one project, with its counts.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run } from '../setup/steps.mjs';

const runTimeoutMs = 45 * 60_000;

/** Runs the project; `failures` holds vitest's output when something failed. */
export async function runVitest(root, project, progress, environment = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'cairn-test-'));
  const counts = join(folder, 'counts.json');
  const vitest = join(root, 'node_modules/vitest/vitest.mjs');
  const reporters = ['--reporter=default', `--reporter=${join(root, 'scripts/testing/vitest-reporter.mjs')}`];
  try {
    const { status, output } = await run(
      process.execPath,
      [vitest, 'run', '--project', project, '--passWithNoTests', ...reporters],
      {
        cwd: root,
        env: { ...environment, TEST_COUNTS_FILE: counts, NO_COLOR: '1', FORCE_COLOR: undefined },
        timeoutMs: runTimeoutMs,
        allowFailure: true,
        onLine: progress,
      },
    );
    return interpret(readCounts(counts), status, output);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** A run that failed without a failed test (it crashed, it found no way to start) is one failure. */
export function interpret(counts, status, output) {
  const { passed = 0, failed = 0, skipped = [] } = counts ?? {};
  const failedInAll = status !== 0 && failed === 0 ? 1 : failed;
  return { passed, failed: failedInAll, skipped, failures: failedInAll > 0 ? [output] : [] };
}

function readCounts(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    return null;
  }
}
