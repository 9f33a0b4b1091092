/** How fast do large requests stream? */
import type { Ask, Case, Question } from './support/question.js';

const kib = 1024;

const asks: readonly Ask[] = [
  { figure: 'rate', of: 'best alike', least: 1.25, orOfRaw: 0.95 },
  { figure: 'rate', of: 'raw', least: 0.85 },
];

function streaming(pattern: 'read' | 'write', blockKib: number): Case {
  const workload = { pattern, blockBytes: blockKib * kib, depth: 8, connections: 1 } as const;
  return { name: `${pattern} ${blockKib} KiB`, volume: 'written', workload, asks };
}

export const question: Question = {
  name: 'sequential',
  title: 'Sequential, depth 8, one connection, fully written volume',
  cases: [streaming('read', 128), streaming('read', 1024), streaming('write', 128), streaming('write', 1024)],
};
