/** What does iSCSI cost, beside tgt and beside Cairn's own NBD? */
import type { Ask, Case, Question, Workload } from './support/question.js';

const cpu: readonly Ask[] = [
  { figure: 'cpu', of: 'best of all', most: 0.5 },
  { figure: 'cpu', of: 'own nbd', most: 1.25 },
];

function ofTgt(least: number): Ask {
  return { figure: 'rate', of: 'best of all', least };
}

function one(name: string, workload: Omit<Workload, 'connections'>, asks: readonly Ask[]): Case {
  return { name, volume: 'written', workload: { ...workload, connections: 1 }, asks };
}

const small = { blockBytes: 4096 } as const;
const large = { blockBytes: 128 * 1024, depth: 8 } as const;

export const question: Question = {
  name: 'iscsi',
  title: 'iSCSI, one session, fully written volume',
  only: ['cairn iscsi', 'cairn nbd tcp', 'cairn iscsi writeback', 'tgt aio', 'tgt rdwr'],
  cases: [
    one('read 4 KiB, depth 32', { ...small, depth: 32, pattern: 'randread' }, [ofTgt(1.6), ...cpu]),
    one('write 4 KiB, depth 32', { ...small, depth: 32, pattern: 'randwrite' }, [ofTgt(1.6), ...cpu]),
    one('read 4 KiB, depth 1', { ...small, depth: 1, pattern: 'randread' }, [ofTgt(1.3), ...cpu]),
    one('write 4 KiB, depth 1', { ...small, depth: 1, pattern: 'randwrite' }, [ofTgt(1.3), ...cpu]),
    one('read 128 KiB, depth 8', { ...large, pattern: 'read' }, [ofTgt(1.2)]),
    one('write 128 KiB, depth 8', { ...large, pattern: 'write' }, [ofTgt(1.2)]),
    // tgt's aio store answers SYNCHRONIZE CACHE without doing it, and takes no part.
    one('write 4 KiB + flush', { ...small, depth: 1, pattern: 'randwrite', flushEach: true }, [ofTgt(1)]),
  ],
};
