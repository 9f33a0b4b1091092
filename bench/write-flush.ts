/** How fast is a database's commit: one small write, made durable before the next? */
import type { Question } from './support/question.js';

export const question: Question = {
  name: 'write-flush',
  title: '4 KiB random write with a FLUSH after each, depth 1, fully written volume',
  cases: [
    {
      name: 'write + flush',
      volume: 'written',
      workload: { pattern: 'randwrite', blockBytes: 4096, depth: 1, connections: 1, flushEach: true },
      asks: [
        { figure: 'rate', of: 'best alike', least: 1 },
        { figure: 'rate', of: 'raw', least: 0.9 },
      ],
    },
  ],
};
