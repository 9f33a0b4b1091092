/** What do ever more snapshots cost: reads through all of them, and overwrites directly after one more? */
import { contestantLines, levelLine, ours, ratioOf } from './support/growth-lines.js';
import { samplesAt, type GrowthQuestion, type GrowthResult } from './support/growth.js';
import type { Case, Workload } from './support/question.js';
import { measureCases, type Plan } from './support/rounds.js';
import { spreadOf } from './support/statistics.js';

const counts = [0, 1, 10, 50, 200];
/** How many a volume has before the one directly before the measurement. */
const countsBefore = [0, 10, 200];
/** qcow2's internal snapshots each take a table of their own; more of them are made slowly. */
const qcow2Max = 20;
const readRatioMin = 0.95;
const overwriteRatioMin = 0.9;

const workload = { blockBytes: 4096, depth: 32, connections: 1 } as const;
const read: Workload = { ...workload, pattern: 'randread' };
const write: Workload = { ...workload, pattern: 'randwrite' };

export const question: GrowthQuestion = {
  name: 'snapshot-growth',
  title: '4 KiB random, depth 32, one connection, as snapshots accumulate',
  only: ['cairn', 'qemu-nbd qcow2'],
  measure,
};

/** All reads first: what overwrites leave in the newest layers would be read through no snapshot. */
async function measure(plan: Plan): Promise<GrowthResult> {
  const reads = await readLines(plan);
  const written = await overwriteLines(plan);
  const none = samplesAt(written, ours, 0);
  return {
    charts: [
      { title: 'Random read through the snapshots', axis: 'snapshots', unit: 'IOPS', lines: reads },
      {
        title: 'Random overwrite: of none, and directly after a snapshot',
        axis: 'snapshots',
        unit: 'IOPS',
        lines: none
          ? [...written, levelLine('0.9 of none', [0, ...countsBefore.map(after)], overwriteRatioMin * middle(none))]
          : written,
      },
    ],
    verdicts: [
      ...counts.slice(1).map((at) => ({
        asked: `read through ${at}, of through none`,
        measured: ratioOf(samplesAt(reads, ours, at), samplesAt(reads, ours, 0)),
        unit: '',
        least: readRatioMin,
      })),
      ...countsBefore.map(after).map((at) => ({
        asked: `overwrite directly after the ${ordinal(at)}, of none`,
        measured: ratioOf(samplesAt(written, ours, at), none),
        unit: '',
        least: overwriteRatioMin,
      })),
    ],
    notes: ['A share of the blocks is written anew after each snapshot: reads meet all layers.'],
  };
}

async function readLines(plan: Plan) {
  const cases = counts.map((snapshots): Case => {
    return { name: `read through ${snapshots}`, volume: 'written', snapshots, workload: read };
  });
  const measured = await measureCases(plan, cases, ({ name }, { snapshots = 0 }) => isSensible(name, snapshots));
  return contestantLines(counts, measured, 'iops');
}

async function overwriteLines(plan: Plan) {
  const cases: Case[] = [
    { name: 'overwrite, no snapshot', volume: 'written', workload: write },
    ...countsBefore.map((snapshots): Case => {
      const name = `overwrite directly after number ${snapshots + 1}`;
      return { name, volume: 'written', snapshots, snapshotBefore: true, workload: write };
    }),
  ];
  return contestantLines([0, ...countsBefore.map(after)], await measureCases(plan, cases), 'iops');
}

function isSensible(contestant: string, snapshots: number): boolean {
  return !contestant.includes('qcow2') || snapshots <= qcow2Max;
}

function after(snapshots: number): number {
  return snapshots + 1;
}

function ordinal(number: number): string {
  return `${number}${number % 10 === 1 && number !== 11 ? 'st' : 'th'}`;
}

function middle(samples: readonly number[]): number {
  return spreadOf(samples).median;
}
