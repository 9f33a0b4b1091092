// Counts of what ran, and the line that ends `npm test`.

/** So many skipped tests with the same reason are named. */
const namesMax = 5;

/** Sums runs: `{ passed, failed, skipped: [{ name, reason }] }` each. */
export class Totals {
  passed = 0;
  failed = 0;
  skipped = [];

  add({ passed = 0, failed = 0, skipped = [] }) {
    this.passed += passed;
    this.failed += failed;
    this.skipped.push(...skipped);
  }

  /** A part of the tests that could not run at all. */
  skip(name, reason) {
    this.skipped.push({ name, reason });
  }

  /** The reasons, then the totals alone on their line. */
  report() {
    const skipped = this.skipped.length === 0 ? '' : `, ${this.skipped.length} skipped`;
    return [...this.#reasons(), `${this.passed} passed, ${this.failed} failed${skipped}`].join('\n');
  }

  #reasons() {
    const names = new Map();
    for (const { name, reason } of this.skipped) names.set(reason, [...(names.get(reason) ?? []), name]);
    return [...names].map(([reason, tests]) => `skipped: ${listed(tests)}: ${reason}`);
  }
}

/** Some tests by name, many by their number. */
function listed(tests) {
  if (tests.length <= namesMax) return tests.join(', ');
  return `${tests.length} tests (${tests[0]}, ...)`;
}

/** A short note of one run for its progress line. */
export function summary({ passed, failed, skipped }) {
  const parts = [`${passed} passed`];
  if (failed > 0) parts.push(`${failed} FAILED`);
  if (skipped.length > 0) parts.push(`${skipped.length} skipped`);
  return parts.join(', ');
}
