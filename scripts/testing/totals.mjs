// Counts of what ran, and the line that ends `npm test`.

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
    const lines = this.skipped.map(({ name, reason }) => `skipped: ${name}: ${reason}`);
    const skipped = this.skipped.length === 0 ? '' : `, ${this.skipped.length} skipped`;
    return [...lines, `${this.passed} passed, ${this.failed} failed${skipped}`].join('\n');
  }
}

/** A short note of one run for its progress line. */
export function summary({ passed, failed, skipped }) {
  const parts = [`${passed} passed`];
  if (failed > 0) parts.push(`${failed} FAILED`);
  if (skipped.length > 0) parts.push(`${skipped.length} skipped`);
  return parts.join(', ');
}
