/** What do snapshots cost: reads through many of them, and the writes directly after one? */
import type { Question, Workload } from './support/question.js';

const workload = { blockBytes: 4096, depth: 32, connections: 1 } as const;
const read: Workload = { ...workload, pattern: 'randread' };
const write: Workload = { ...workload, pattern: 'randwrite' };

export const question: Question = {
  name: 'snapshots',
  title: '4 KiB random, depth 32, one connection, with snapshots',
  cases: [
    { name: 'read, no snapshot', volume: 'written', workload: read },
    { name: 'read through 20 snapshots', volume: 'written', snapshots: 20, workload: read },
    { name: 'read through 200 snapshots', volume: 'written', snapshots: 200, workload: read },
    { name: 'overwrite, no snapshot', volume: 'written', workload: write },
    { name: 'overwrite directly after a snapshot', volume: 'written', snapshotBefore: true, workload: write },
  ],
};
