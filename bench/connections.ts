/** Does one volume serve several connections as well as one? Four at depth 16, and 1 to 16 at depth 4. */
import type { Ask, Case, Question, Workload } from './support/question.js';

const asks: readonly Ask[] = [
  { figure: 'rate', of: 'best alike', least: 1.5, orOfRaw: 0.95 },
  { figure: 'cpu', of: 'best alike', most: 0.5 },
];

function random(pattern: Workload['pattern'], connections: number, depth: number): Case {
  const workload = { pattern, blockBytes: 4096, depth, connections };
  return { name: `${pattern}, ${connections} at depth ${depth}`, volume: 'written', workload };
}

export const question: Question = {
  name: 'connections',
  title: '4 KiB random over several connections, fully written volume',
  cases: [
    { ...random('randread', 4, 16), asks },
    { ...random('randwrite', 4, 16), asks },
    ...[1, 2, 4, 8, 16].map((connections) => random('randread', connections, 4)),
  ],
};
