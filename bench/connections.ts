/** Does one volume serve four connections as well as one? (`connection-growth` asks it of 1 to 16.) */
import { asksOfRandom as asks, type Case, type Question, type Workload } from './support/question.js';

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
