/** libiscsi's conformance suite against a volume, and against tgt in the same run. docs/protocols/iscsi.md explains what is skipped. */
import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it, onTestFinished } from 'vitest';
import { named, runSuite, type SuiteTest } from '../support/iscsi-suite.js';
import { freePorts } from '../support/real-cairn.js';
import { freshCairn } from '../support/real-fixture.js';
import { needsTools } from '../support/real-tools.js';
import { scratchDirectory } from '../support/scratch.js';
import { Tgt } from '../support/tgt.js';

const page = join(dirname(dirname(dirname(fileURLToPath(import.meta.url)))), 'docs/protocols/iscsi.md');
const sizeBytes = 256 * 2 ** 20;

/** The tests in the first column of the page's table of what is skipped. */
function explained(): string[] {
  const [, section = ''] = readFileSync(page, 'utf8').split(/^#+ .*skipped.*$/im);
  const rows = section.split(/^#/m)[0]?.match(/^\|[^|]*\|/gm) ?? [];
  return rows.flatMap((row) => Array.from(row.matchAll(/`([^`]+)`/g), ([, name = '']) => name));
}

async function suiteOnTgt(): Promise<SuiteTest[]> {
  const file = join(scratchDirectory(), 'disk');
  writeFileSync(file, '');
  truncateSync(file, sizeBytes);
  const [port = 0] = await freePorts(1);
  const tgt = await Tgt.start(port, file, 'rdwr');
  onTestFinished(() => tgt.close());
  return runSuite(tgt.url);
}

it('passes every test or says why not, and skips fewer than tgt', async (context) => {
  needsTools(context, 'iscsi-test-cu', 'stdbuf', 'tgtd', 'tgtadm');
  const cairn = await freshCairn();
  await cairn.createVolume('db', { size: sizeBytes });
  await cairn.attach('db', 'iscsi');
  const [tests, tgt] = await Promise.all([runSuite(cairn.iscsiUri('db')), suiteOnTgt()]);

  const counts = (of: readonly SuiteTest[]) =>
    (['passed', 'failed', 'skipped'] as const).map((outcome) => `${named(of, outcome).length} ${outcome}`).join(', ');
  console.log(`cairn: ${counts(tests)}; tgt: ${counts(tgt)}`);
  const skipped = named(tests, 'skipped');
  expect(named(tests, 'failed').map(({ name, notes }) => [name, ...notes.slice(0, 5)])).toEqual([]);
  expect(skipped.length).toBeLessThan(named(tgt, 'skipped').length);
  expect(explained().sort()).toEqual(skipped.map(({ name }) => name).sort());
});
