/**
 * What does the first write to a block of a thin volume cost? The file system allocates for each one, and converts what it
 * allocated; page-cache modes put that off until the FLUSH, so the second case includes it.
 */
import type { Ask, Question } from './support/question.js';

const workload = { pattern: 'randwrite', blockBytes: 4096, depth: 32, connections: 1 } as const;

const asks: readonly Ask[] = [{ figure: 'rate', of: 'best of all', least: 1.2 }];

export const question: Question = {
  name: 'first-write-thin',
  title: '4 KiB random first writes, depth 32, one connection, new thin volume',
  cases: [
    { name: 'first write', volume: 'thin', workload, asks },
    { name: 'first write, then FLUSH', volume: 'thin', workload: { ...workload, flushAtEnd: true }, asks },
  ],
};
