/** Does one volume serve four connections as well as one? (`connection-growth` asks it of 1 to 16.) */
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
  ],
};
