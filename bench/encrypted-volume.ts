/** What does encryption cost, beside a plain volume and beside qemu-nbd on a LUKS image? */
import type { Ask, Case, Question } from './support/question.js';

const random: readonly Ask[] = [
  { figure: 'rate', of: 'plain', least: 0.85 },
  { figure: 'cpu', of: 'best alike', most: 1 / 3 },
];
const streaming: readonly Ask[] = [{ figure: 'rate', of: 'plain', least: 0.7 }];

function randomly(pattern: 'randread' | 'randwrite'): Case {
  const workload = { pattern, blockBytes: 4096, depth: 32, connections: 1 } as const;
  return {
    name: `${pattern === 'randread' ? 'read' : 'write'} 4 KiB, depth 32`,
    volume: 'written',
    workload,
    asks: random,
  };
}

function sequentially(pattern: 'read' | 'write', blockKib: number): Case {
  const workload = { pattern, blockBytes: blockKib * 1024, depth: 8, connections: 1 } as const;
  return { name: `${pattern} ${blockKib} KiB, depth 8`, volume: 'written', workload, asks: streaming };
}

export const question: Question = {
  name: 'encrypted-volume',
  title: 'Encrypted volume, one connection, fully written',
  only: ['cairn encrypted', 'cairn', 'qemu-nbd luks'],
  cases: [
    randomly('randread'),
    randomly('randwrite'),
    ...[128, 1024].flatMap((blockKib) => [sequentially('read', blockKib), sequentially('write', blockKib)]),
  ],
};
