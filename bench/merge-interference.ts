/** Do clients notice that a removed snapshot is merged? Latency of reads and of overwrites with a merge running, and without. */
import { eventually } from '../test/support/real-deadline.js';
import { RealCairn } from '../test/support/real-cairn.js';
import { fill, rewriteShare, runFio } from './support/fio.js';
import type { Chart, GrowthQuestion, GrowthResult, Line, Verdict } from './support/growth.js';
import type { Workload } from './support/question.js';
import type { Plan } from './support/rounds.js';
import { spreadOf } from './support/statistics.js';

const depths = [1, 8, 32];
const patterns = ['randread', 'randwrite'] as const;
const ratioMax = 1.5;
const mergeTimeoutMs = 300_000;
const volume = 'merged';

export const question: GrowthQuestion = {
  name: 'merge-interference',
  title: '4 KiB random, one connection, with half of the volume being merged and without',
  only: ['cairn'],
  measure,
};

interface Samples {
  p50: number[];
  p99: number[];
}

/** Of one load, in microseconds. */
interface Compared {
  pattern: Workload['pattern'];
  depth: number;
  without: Samples;
  merging: Samples;
}

interface Bench {
  plan: Plan;
  cairn: RealCairn;
  target: string[];
  /** Measurements whose merge was over before they were. */
  short: number;
}

async function measure(plan: Plan): Promise<GrowthResult> {
  const { dataDirectory, sizeBytes, transport } = plan.ground;
  const cairn = await RealCairn.start({ parent: dataDirectory });
  try {
    await cairn.serveVolume(volume, { size: sizeBytes });
    const target = ['--ioengine=nbd', `--uri=${cairn.uri(volume, transport)}`];
    await fill(dataDirectory, target, sizeBytes);
    const bench = { plan, cairn, target, short: 0 };
    const compared = patterns.flatMap((pattern) => depths.map((depth) => comparison(pattern, depth)));
    for (let round = 1; round <= plan.rounds; round += 1) {
      for (const each of compared) {
        plan.progress(`${each.pattern} at depth ${each.depth}, round ${round} of ${plan.rounds}`);
        await compare(bench, each);
      }
    }
    return resultOf(compared, bench.short);
  } finally {
    await cairn.close();
  }
}

function comparison(pattern: Workload['pattern'], depth: number): Compared {
  return { pattern, depth, without: { p50: [], p99: [] }, merging: { p50: [], p99: [] } };
}

/** Both on the same layers: half of the blocks in one, half in its child, and all of them anew in the head. */
async function compare(bench: Bench, { pattern, depth, without, merging }: Compared): Promise<void> {
  const { cairn, plan, target } = bench;
  const { dataDirectory, sizeBytes } = plan.ground;
  await cairn.createSnapshot(volume, 'base');
  for (const [number, name] of ['first', 'second'].entries()) {
    await rewriteShare(dataDirectory, target, { sizeBytes, number, of: 2 });
    await cairn.createSnapshot(volume, name);
  }
  await fill(dataDirectory, target, sizeBytes);
  const workload: Workload = { pattern, blockBytes: 4096, depth, connections: 1 };
  await sampleInto(bench, workload, without);
  await cairn.deleteSnapshot(volume, 'first');
  await sampleInto(bench, workload, merging);
  if (!(await isThere(cairn, 'first'))) bench.short += 1;
  for (const name of ['base', 'second']) await cairn.deleteSnapshot(volume, name);
  await eventually('all is merged', async () => (await cairn.snapshots(volume)).length === 0, mergeTimeoutMs);
}

async function sampleInto({ plan, target }: Bench, workload: Workload, { p50, p99 }: Samples): Promise<void> {
  const { dataDirectory, sizeBytes } = plan.ground;
  const result = await runFio(dataDirectory, target, { workload, sizeBytes, seconds: plan.seconds }, true);
  p50.push(result.p50);
  p99.push(result.p99);
}

async function isThere(cairn: RealCairn, name: string): Promise<boolean> {
  return (await cairn.snapshots(volume)).some((snapshot) => snapshot.name === name);
}

function resultOf(compared: readonly Compared[], short: number): GrowthResult {
  return {
    charts: patterns.map((pattern) => chartOf(pattern, compared)),
    verdicts: compared.map(verdictOf),
    notes: [
      'All blocks are read from and written to the head in place; the merge moves half as much between two layers below it.',
      ...(short > 0 ? [`In ${short} measurements the merge was over before the measurement.`] : []),
    ],
  };
}

function chartOf(pattern: Workload['pattern'], compared: readonly Compared[]): Chart {
  const lineOf = (name: string, samples: (each: Compared) => number[]): Line => {
    const points = compared.filter((each) => each.pattern === pattern);
    return { name, points: points.map((each) => ({ at: each.depth, samples: samples(each) })) };
  };
  return {
    title: nameOf(pattern),
    axis: 'depth',
    unit: 'µs',
    lines: [
      lineOf('p99, merging', ({ merging }) => merging.p99),
      lineOf('p99, without', ({ without }) => without.p99),
      lineOf('p50, merging', ({ merging }) => merging.p50),
      lineOf('p50, without', ({ without }) => without.p50),
    ],
  };
}

function verdictOf({ pattern, depth, without, merging }: Compared): Verdict {
  return {
    asked: `${nameOf(pattern).toLowerCase()} at depth ${depth}: p99 with a merge, of without`,
    measured: spreadOf(merging.p99).median / spreadOf(without.p99).median,
    unit: '',
    most: ratioMax,
  };
}

function nameOf(pattern: Workload['pattern']): string {
  return pattern === 'randread' ? 'Random read' : 'Random overwrite';
}
