/** How fast do large requests stream? */
import type { Case, Question } from './support/question.js';

const kib = 1024;

function streaming(pattern: 'read' | 'write', blockKib: number): Case {
  const workload = { pattern, blockBytes: blockKib * kib, depth: 8, connections: 1 } as const;
  return { name: `${pattern} ${blockKib} KiB`, volume: 'written', workload };
}

export const question: Question = {
  name: 'sequential',
  title: 'Sequential, depth 8, one connection, fully written volume',
  cases: [streaming('read', 128), streaming('read', 1024), streaming('write', 128), streaming('write', 1024)],
};
