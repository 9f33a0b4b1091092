/** A directory for the files of one test. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';

/** Removed after the running test. */
export function scratchDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'cairn-scratch-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}
