/** The client of iSCSI targets, bench/native/iscsi_load.cc: compiled when it is first needed, and a run of it. */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isInstalled, run } from './command.js';
import type { FioResult } from './fio.js';
import type { Workload } from './question.js';

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const sources = ['iscsi_load.cc', 'iscsi_initiator.cc'].map((name) => join(root, 'bench/native', name));
const flags = ['-O2', '-std=gnu++20', `-I${join(root, 'native')}`];
const fillBytes = 2 ** 20;
const fillDepth = 8;

export function whyNoIscsiLoad(): string | null {
  return isInstalled('g++') ? null : 'its client cannot be compiled without g++';
}

/** Reads or writes for so many seconds; zero: once over the whole unit, then a SYNCHRONIZE CACHE. */
export async function runIscsiLoad(
  directory: string,
  url: string,
  { pattern, blockBytes, depth, flushEach }: Workload,
  seconds: number,
): Promise<FioResult> {
  const args = [url, pattern, `${blockBytes}`, `${depth}`, `${seconds}`, ...(flushEach ? ['--flush-each'] : [])];
  const printed = await run(await program(directory), args);
  const result = JSON.parse(printed) as Omit<FioResult, 'iops' | 'megabytesPerSecond'>;
  const iops = result.operations / result.seconds;
  return { ...result, iops, megabytesPerSecond: (iops * blockBytes) / 1e6 };
}

/** Writes every block once. */
export async function fillOverIscsi(directory: string, url: string): Promise<void> {
  const workload: Workload = { pattern: 'write', blockBytes: fillBytes, depth: fillDepth, connections: 1 };
  await runIscsiLoad(directory, url, workload, 0);
}

async function program(directory: string): Promise<string> {
  const path = join(directory, 'iscsi-load');
  if (!existsSync(path)) await run('g++', [...flags, ...sources, '-o', path]);
  return path;
}
