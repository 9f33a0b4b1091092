/** Does one volume serve ever more connections as well as one? */
import { contestantLines, ours, ratioOf } from './support/growth-lines.js';
import { samplesAt, type GrowthQuestion, type GrowthResult } from './support/growth.js';
import type { Case, Workload } from './support/question.js';
import { measureCases, type Plan } from './support/rounds.js';

const counts = [1, 2, 4, 8, 16];
const depth = 16;
/** Nobody asks for a figure, but more clients should not be served less. */
const ratioMin = 1;

export const question: GrowthQuestion = {
  name: 'connection-growth',
  title: '4 KiB random at depth 16 on each of ever more connections, fully written volume',
  measure,
};

async function measure(plan: Plan): Promise<GrowthResult> {
  const reads = await linesOf(plan, 'randread');
  const writes = await linesOf(plan, 'randwrite');
  const last = counts.at(-1) ?? 1;
  const verdicts = [
    { name: 'read', lines: reads },
    { name: 'overwrite', lines: writes },
  ].map(({ name, lines }) => ({
    asked: `${name} over ${last} connections, of over one`,
    measured: ratioOf(samplesAt(lines, ours, last), samplesAt(lines, ours, 1)),
    unit: '',
    least: ratioMin,
  }));
  return {
    charts: [
      { title: 'Random read', axis: 'connections', unit: 'IOPS', lines: reads },
      { title: 'Random overwrite', axis: 'connections', unit: 'IOPS', lines: writes },
    ],
    verdicts,
    notes: ['fio has a thread for each connection; from two on it competes with the server for two cores.'],
  };
}

async function linesOf(plan: Plan, pattern: Workload['pattern']) {
  const cases = counts.map((connections): Case => {
    const workload = { pattern, blockBytes: 4096, depth, connections };
    return { name: `${pattern} over ${connections}`, volume: 'written', workload };
  });
  return contestantLines(counts, await measureCases(plan, cases), 'iops');
}
