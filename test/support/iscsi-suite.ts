/** libiscsi's conformance suite, `iscsi-test-cu`: a run of all of its tests, and what it says of each. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const execute = promisify(execFile);
const suiteTimeoutMs = 300_000;
const outputBytesMax = 64 * 2 ** 20;

export interface SuiteTest {
  /** `SUITE.TEST` */
  name: string;
  /** `skipped`: it passed, but says that it left something out. */
  outcome: 'passed' | 'failed' | 'skipped';
  /** What it said, line by line. */
  notes: string[];
}

/** All tests, also those that destroy data; two paths to the unit, as the tests of multipath want it. */
export async function runSuite(url: string): Promise<SuiteTest[]> {
  const args = ['--dataloss', '--allow-sanitize', '--verbose', '--test=ALL', url, url];
  // By lines: in larger pieces, what CUnit prints and what the tests print would come out of order.
  const command = ['-oL', 'iscsi-test-cu', ...args];
  const options = { timeout: suiteTimeoutMs, maxBuffer: outputBytesMax };
  // It exits with an error also when tests fail: its output tells whether it came to its end.
  const { stdout } = await execute('stdbuf', command, options).catch((error: { stdout: string }) => error);
  return parseSuite(stdout);
}

/** Throws when the output is not that of a whole run, or does not add up to its own summary. */
export function parseSuite(output: string): SuiteTest[] {
  const [body = '', summary] = output.split(/^Run Summary:/m);
  if (summary === undefined) throw new Error(`The suite did not come to its end:\n${output.slice(-2000)}`);
  const tests = body
    .split(/^Suite: /m)
    .slice(1)
    .flatMap(testsOfSuite);
  const [total, passed, failed] = countsOf(summary);
  const failures = tests.filter(({ outcome }) => outcome === 'failed').length;
  if (tests.length !== total || failures !== failed || tests.length - failures !== passed) {
    throw new Error(`${tests.length} tests, ${failures} failed, but the suite's summary is:\n${summary}`);
  }
  return tests;
}

export function named(tests: readonly SuiteTest[], outcome: SuiteTest['outcome']): SuiteTest[] {
  return tests.filter((test) => test.outcome === outcome);
}

function testsOfSuite(text: string): SuiteTest[] {
  const suite = text.slice(0, text.search(/\s*$/m)).trim();
  const parts = text.split(/^ {2}Test: (.*?) \.\.\./m).slice(1);
  return Array.from({ length: parts.length / 2 }, (_, index) =>
    testOf(`${suite}.${parts[2 * index]}`, parts[2 * index + 1] ?? ''),
  );
}

/** The outcome stands directly behind the name, or on a line of its own behind what the test said. */
function testOf(name: string, said: string): SuiteTest {
  const [, outcome] = /(?:^|\n)(passed|FAILED)/.exec(said) ?? [];
  if (outcome === undefined) throw new Error(`No outcome of ${name}:\n${said.slice(0, 2000)}`);
  const notes = said.split('\n').map((line) => line.trim());
  const isSkipped = said.includes('[SKIPPED]');
  return {
    name,
    outcome: outcome === 'FAILED' ? 'failed' : isSkipped ? 'skipped' : 'passed',
    notes: notes.filter((line) => line !== '' && line !== outcome),
  };
}

/** Of the row `tests TOTAL RAN PASSED FAILED INACTIVE`. */
function countsOf(summary: string): [number, number, number] {
  const [, total, passed, failed] = /^\s*tests\s+(\d+)\s+\d+\s+(\d+)\s+(\d+)/m.exec(summary) ?? [];
  return [Number(total), Number(passed), Number(failed)];
}
