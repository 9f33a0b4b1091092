/** How long does a lone small request take? */
import type { Question } from './support/question.js';

const workload = { blockBytes: 4096, depth: 1, connections: 1 } as const;

export const question: Question = {
  name: 'depth1',
  title: '4 KiB random, depth 1, one connection, fully written volume',
  cases: [
    { name: 'read', volume: 'written', workload: { ...workload, pattern: 'randread' } },
    { name: 'write', volume: 'written', workload: { ...workload, pattern: 'randwrite' } },
  ],
};
