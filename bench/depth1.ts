/** How long does a lone small request take? */
import type { Ask, Question } from './support/question.js';

const workload = { blockBytes: 4096, depth: 1, connections: 1 } as const;

const asks: readonly Ask[] = [
  { figure: 'rate', of: 'best alike', least: 1.25, orOfRaw: 0.95 },
  { figure: 'p50', of: 'raw', most: 16 },
];

export const question: Question = {
  name: 'depth1',
  title: '4 KiB random, depth 1, one connection, fully written volume',
  cases: [
    { name: 'read', volume: 'written', workload: { ...workload, pattern: 'randread' }, asks },
    { name: 'write', volume: 'written', workload: { ...workload, pattern: 'randwrite' }, asks },
  ],
};
