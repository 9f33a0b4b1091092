import { describe, expect, it } from 'vitest';
import { fioArguments } from '../../bench/support/fio.js';
import type { Workload } from '../../bench/support/question.js';

const workload: Workload = { pattern: 'randwrite', blockBytes: 4096, depth: 1, connections: 1 };

function flushes(target: string[], more: Partial<Workload>): string[] {
  const args = fioArguments(target, { workload: { ...workload, ...more }, sizeBytes: 2 ** 20, seconds: 1 });
  return args.filter((argument) => /sync/.test(argument));
}

describe('fioArguments', () => {
  it('flushes nothing unless asked to', () => {
    expect(flushes(['--ioengine=nbd'], {})).toEqual([]);
  });

  it("flushes after each write by the one call that fio's NBD engine knows", () => {
    expect(flushes(['--ioengine=nbd'], { flushEach: true })).toEqual(['--fsync=1']);
  });

  it('does on a file what servers do at a FLUSH', () => {
    expect(flushes(['--ioengine=io_uring'], { flushEach: true })).toEqual(['--fdatasync=1']);
  });

  it('flushes at the end within the measured time', () => {
    expect(flushes(['--ioengine=nbd'], { flushAtEnd: true })).toEqual(['--end_fsync=1']);
  });
});

describe('fioArguments of scattered blocks', () => {
  const run = { workload, sizeBytes: 2 ** 40, seconds: 60, scatteredBlocks: 1000 };

  it('draws the same numbers for reads as for the writes that were before', () => {
    const draw = (pattern: Workload['pattern']) =>
      fioArguments(['--ioengine=nbd'], { ...run, workload: { ...workload, pattern } }).filter((argument) =>
        /rand(om|seed|repeat)|norandommap|number_ios/.test(argument),
      );
    expect(draw('randread')).toEqual(draw('randwrite'));
    expect(draw('randwrite')).toContain('--number_ios=1000');
  });
});
