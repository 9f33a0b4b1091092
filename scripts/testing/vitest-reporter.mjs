// Counts vitest's results with the reasons of skips, into the JSON file that TEST_COUNTS_FILE names.
import { writeFileSync } from 'node:fs';

export default class CountsReporter {
  onTestRunEnd(modules, unhandledErrors) {
    const counts = { passed: 0, failed: unhandledErrors.length, skipped: [] };
    for (const module of modules) {
      countTests(module, counts);
      // A file or a suite whose set-up failed has no test to show it.
      counts.failed += module.errors().length;
      for (const suite of module.children.allSuites()) counts.failed += suite.errors().length;
    }
    const path = process.env.TEST_COUNTS_FILE;
    if (path !== undefined) writeFileSync(path, JSON.stringify(counts));
  }
}

function countTests(module, counts) {
  for (const test of module.children.allTests()) {
    const { state, note } = test.result();
    if (state === 'passed') counts.passed += 1;
    else if (state === 'failed') counts.failed += 1;
    else
      counts.skipped.push({
        name: test.fullName,
        reason: note ?? (isSetUpBroken(test) ? 'its set-up failed' : 'no reason given'),
      });
  }
}

/** Whether a hook of a suite around the test failed: vitest then counts the test as skipped. */
function isSetUpBroken(test) {
  for (let parent = test.parent; parent !== undefined; parent = parent.parent) {
    if (parent.errors().length > 0) return true;
  }
  return false;
}
