/** One run of fio, and what it measured. */
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { run } from './command.js';
import type { Workload } from './question.js';

/** What fio is pointed at: its engine's arguments. */
export type FioTarget = readonly string[];

export interface FioRun {
  workload: Workload;
  sizeBytes: number;
  seconds: number;
  /** Ends after so many requests, of the blocks that {@link writeScattered} wrote. */
  scatteredBlocks?: number;
}

export interface FioResult {
  operations: number;
  /** From the first request to the last reply, and to the reply of the FLUSH at the end if there is one. */
  seconds: number;
  iops: number;
  megabytesPerSecond: number;
  /** Completion latency in microseconds. */
  p50: number;
  p99: number;
  p999: number;
  /** User and system seconds of fio itself. */
  clientSeconds: number;
}

/** fio's NBD engine knows fsync alone, where its file engines also have what servers do at a FLUSH: fdatasync. */
export function fioArguments(target: FioTarget, fioRun: FioRun): string[] {
  const { workload, sizeBytes, seconds, scatteredBlocks } = fioRun;
  const sync = target.includes('--ioengine=nbd') ? 'fsync' : 'fdatasync';
  return [
    '--name=bench',
    ...target,
    `--rw=${workload.pattern}`,
    `--bs=${workload.blockBytes}`,
    `--iodepth=${workload.depth}`,
    `--numjobs=${workload.connections}`,
    '--group_reporting',
    `--size=${sizeBytes}`,
    `--runtime=${seconds}`,
    ...(workload.readPercent === undefined ? [] : [`--rwmixread=${workload.readPercent}`]),
    ...(workload.flushEach === true ? [`--${sync}=1`] : []),
    ...(workload.flushAtEnd === true ? ['--end_fsync=1'] : []),
    ...(scatteredBlocks === undefined ? [] : scatter(scatteredBlocks)),
  ];
}

/** The same blocks in every run: they are drawn from the same seed. A map of those that were met would take 512 MiB. */
function scatter(blocks: number): string[] {
  const draw = ['--norandommap', '--randrepeat=1', '--randseed=1', '--random_generator=tausworthe64'];
  return [...draw, `--number_ios=${blocks}`];
}

/** Writes so many blocks anywhere on the volume. */
export async function writeScattered(
  directory: string,
  target: FioTarget,
  { sizeBytes, blocks }: { sizeBytes: number; blocks: number },
): Promise<void> {
  const workload: Workload = { pattern: 'randwrite', blockBytes: 4096, depth: 32, connections: 1, flushAtEnd: true };
  const output = join(directory, 'scatter.json');
  const args = fioArguments(target, { workload, sizeBytes, seconds: 0, scatteredBlocks: blocks });
  await run('fio', [...args, `--output=${output}`]);
  rmSync(output);
}

/** Runs for `seconds`, again and again over the volume when `repeat` is set, else until each block was met once. */
export async function runFio(
  directory: string,
  target: FioTarget,
  fioRun: FioRun,
  repeat: boolean,
): Promise<FioResult> {
  const output = join(directory, 'fio.json');
  const args = [...fioArguments(target, fioRun), ...(repeat ? ['--time_based'] : [])];
  try {
    await run('fio', [...args, '--output-format=json', `--output=${output}`]);
    return parse(readFileSync(output, 'utf8'), fioRun.workload);
  } finally {
    rmSync(output, { force: true });
  }
}

/** One request: when its reply came, in milliseconds since the epoch, and how long that took. */
export interface LoggedRequest {
  endMs: number;
  latencyMs: number;
}

/** Every request of a run. */
export async function runFioWithLog(directory: string, target: FioTarget, fioRun: FioRun): Promise<LoggedRequest[]> {
  const prefix = join(directory, 'fio');
  const log = [`--write_lat_log=${prefix}`, '--log_unix_epoch=1', '--per_job_logs=0'];
  try {
    await run('fio', [...fioArguments(target, fioRun), '--time_based', ...log, `--output=${prefix}.txt`]);
    return parseLog(readFileSync(`${prefix}_clat.log`, 'utf8'));
  } finally {
    for (const suffix of ['_lat.log', '_clat.log', '_slat.log', '.txt']) rmSync(prefix + suffix, { force: true });
  }
}

/** Lines of milliseconds, nanoseconds, and more that is not needed. */
export function parseLog(log: string): LoggedRequest[] {
  const lines = log.split('\n').filter((line) => line !== '');
  return lines.map((line) => {
    const [endMs = 0, nanoseconds = 0] = line.split(',', 2).map(Number);
    return { endMs, latencyMs: nanoseconds / 1e6 };
  });
}

/** Writes every block of the volume once, with data that does not compress to nothing. */
export async function fill(directory: string, target: FioTarget, sizeBytes: number): Promise<void> {
  const workload: Workload = { pattern: 'write', blockBytes: 2 ** 20, depth: 8, connections: 1, flushAtEnd: true };
  const output = join(directory, 'fill.json');
  const args = fioArguments(target, { workload, sizeBytes, seconds: 0 });
  await run('fio', [...args, '--refill_buffers', `--output=${output}`]);
  rmSync(output);
}

/** Writes the `number`th of `of` shares of the volume anew, in 64 KiB pieces. */
export async function rewriteShare(
  directory: string,
  target: FioTarget,
  { sizeBytes, number, of }: { sizeBytes: number; number: number; of: number },
): Promise<void> {
  const share = Math.floor(sizeBytes / of / 65_536) * 65_536;
  const output = join(directory, 'share.json');
  const where = [`--offset=${number * share}`, `--size=${share}`, '--rw=write', '--bs=65536', '--iodepth=8'];
  await run('fio', ['--name=share', ...target, ...where, '--refill_buffers', `--output=${output}`]);
  rmSync(output);
}

interface Direction {
  total_ios: number;
  runtime: number;
  bw_bytes: number;
  clat_ns: { percentile?: Record<string, number> };
}

interface Job {
  error: number;
  job_runtime: number;
  usr_cpu: number;
  sys_cpu: number;
  read: Direction;
  write: Direction;
}

function parse(json: string, workload: Workload): FioResult {
  // fio's NBD engine prints a line before the document.
  const { jobs } = JSON.parse(json.slice(json.indexOf('{'))) as { jobs: Job[] };
  const job = jobs[0];
  if (job === undefined || job.error !== 0) throw new Error(`fio failed with error ${job?.error ?? 'unknown'}.`);
  // Of a mixed load, latency is that of the reads.
  const measured = workload.pattern === 'write' || workload.pattern === 'randwrite' ? job.write : job.read;
  const operations = job.read.total_ios + job.write.total_ios;
  const seconds = measured.runtime / 1000;
  const percentile = (name: string) => (measured.clat_ns.percentile?.[name] ?? 0) / 1000;
  return {
    operations,
    seconds,
    iops: operations / seconds,
    megabytesPerSecond: (operations * workload.blockBytes) / seconds / 1e6,
    p50: percentile('50.000000'),
    p99: percentile('99.000000'),
    p999: percentile('99.900000'),
    // Percent of each job's run time (job_runtime is the sum over all jobs, in milliseconds).
    clientSeconds: (((job.usr_cpu + job.sys_cpu) / 100) * job.job_runtime) / 1000,
  };
}
