/** The image files that the raw limit and the peers serve: one written file for all, and a new sparse one per measurement. */
import { existsSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Ground } from './contestant.js';
import { fill, type FioTarget } from './fio.js';

/** Direct I/O through io_uring on the file itself. */
export function directTarget(path: string): FioTarget {
  return ['--ioengine=io_uring', '--direct=1', `--filename=${path}`];
}

export async function writtenFile({ dataDirectory, sizeBytes }: Ground): Promise<string> {
  const path = join(dataDirectory, 'written.img');
  if (existsSync(path) && statSync(path).size === sizeBytes) return path;
  await fill(dataDirectory, directTarget(path), sizeBytes);
  return path;
}

/** How the files that a server serves are made. */
export interface ImageFormat {
  /** Every block of it was written; the same one at every call. */
  written: (ground: Ground) => Promise<string>;
  /** No block of it was ever written. */
  thin: (ground: Ground, sizeBytes: number) => Promise<{ path: string; remove: () => void }>;
}

export const rawImages: ImageFormat = {
  written: writtenFile,
  thin: async (ground, sizeBytes) => sparseFile(ground, sizeBytes),
};

let sparseFiles = 0;

export function sparseFile({ dataDirectory }: Ground, sizeBytes: number): { path: string; remove: () => void } {
  sparseFiles += 1;
  const path = join(dataDirectory, `thin-${sparseFiles}.img`);
  writeFileSync(path, '');
  truncateSync(path, sizeBytes);
  return { path, remove: () => rmSync(path, { force: true }) };
}
