/** How many small random requests does one connection get through, and what does each cost the server? */
import { asksOfRandom as asks, type Question } from './support/question.js';

const workload = { blockBytes: 4096, depth: 32, connections: 1 } as const;

export const question: Question = {
  name: 'random-4k-depth32',
  title: '4 KiB random, depth 32, one connection, fully written volume',
  cases: [
    { name: 'read', volume: 'written', workload: { ...workload, pattern: 'randread' }, asks },
    { name: 'write', volume: 'written', workload: { ...workload, pattern: 'randwrite' }, asks },
  ],
};
