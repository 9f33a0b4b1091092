/** Reads and writes at once, as databases and guests have them: 70 to 30. */
import type { Ask, Question } from './support/question.js';

const workload = { pattern: 'randrw', readPercent: 70, blockBytes: 4096, depth: 32, connections: 1 } as const;

const asks: readonly Ask[] = [{ figure: 'rate', of: 'best alike', least: 1.5, orOfRaw: 0.95 }];

export const question: Question = {
  name: 'mixed-70-30',
  title: '4 KiB random, 70 % reads, depth 32, one connection (latency: of the reads)',
  cases: [
    { name: 'fully written volume', volume: 'written', workload, asks },
    { name: 'new thin volume', volume: 'thin', workload, asks },
  ],
};
