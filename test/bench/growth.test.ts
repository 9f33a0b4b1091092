import { describe, expect, it } from 'vitest';
import { contestantLines, levelLine, ratioOf } from '../../bench/support/growth-lines.js';
import { growthJson, growthTables } from '../../bench/support/growth-report.js';
import { isMet, samplesAt, type Chart, type GrowthResult } from '../../bench/support/growth.js';
import { linePlot } from '../../bench/support/line-plot.js';
import { parseLog } from '../../bench/support/fio.js';
import type { Measured, Sample } from '../../bench/support/rounds.js';
import { percentileOf } from '../../bench/support/statistics.js';

const chart: Chart = {
  title: 'Random <read>',
  axis: 'snapshots',
  unit: 'IOPS',
  lines: [
    {
      name: 'cairn',
      points: [
        { at: 0, samples: [100, 90, 110] },
        { at: 200, samples: [50] },
      ],
    },
    { name: 'a peer', points: [{ at: 0, samples: [70] }] },
  ],
};

function resultWith(verdict: Partial<GrowthResult['verdicts'][number]>): GrowthResult {
  const verdicts = [{ asked: 'read through 200', measured: 0.5, unit: '', ...verdict }];
  return { charts: [chart], verdicts, notes: ['A note.'] };
}

function entry(name: string, iops: number): Measured {
  const contestant = { name } as Measured['contestant'];
  return { contestant, commandLine: '', samples: [{ iops } as Sample] };
}

describe('isMet', () => {
  it.each([
    [{ least: 0.95 }, 0.94, false],
    [{ least: 0.95 }, 0.95, true],
    [{ most: 10 }, 10, true],
    [{ most: 10 }, 10.1, false],
  ])('holds %o against %d: %s', (target, measured, met) => {
    expect(isMet({ asked: '', unit: '', measured, ...target })).toBe(met);
  });
});

describe('growthTables', () => {
  it('says of each figure whether it is met, and how much of it is missing', () => {
    expect(growthTables(resultWith({ least: 0.4 }))).toMatch(/\| read through 200 \| met +\|/);
    expect(growthTables(resultWith({ least: 1 }))).toContain('missed: 0.50 of it');
    expect(growthTables(resultWith({ measured: 30, unit: 'ms', most: 10 }))).toMatch(
      /missed: 3\.00 of it \| +30 ms \| at most 10 ms/,
    );
  });

  it('has a row for each size and a column for each line, empty where nothing was measured', () => {
    const tables = growthTables(resultWith({ least: 0 }));
    expect(tables).toMatch(/\| 0 +\| 100 \(90–110\) \| +70 \|/);
    expect(tables).toMatch(/\| 200 +\| +50 \| +\|/);
    expect(tables).toContain('A note.');
  });

  it('keeps every sample in the JSON', () => {
    const result = resultWith({ least: 1 });
    const question = { name: 'q', title: 't', measure: async () => result };
    expect(growthJson([{ question, result }])).toMatchObject([
      { question: 'q', verdicts: [{ met: false }], charts: [{ lines: chart.lines }] },
    ]);
  });
});

describe('contestantLines', () => {
  it('has a line for each contestant through the cases that it took part in, ours first', () => {
    const measured = [[entry('raw file', 9), entry('cairn', 5)], [entry('cairn', 4)]];
    const lines = contestantLines([1, 16], measured, 'iops');
    expect(lines.map(({ name }) => name)).toEqual(['cairn', 'raw file']);
    expect(samplesAt(lines, 'cairn', 16)).toEqual([4]);
    expect(samplesAt(lines, 'raw file', 16)).toBeUndefined();
  });

  it('draws what is the same everywhere at each place', () => {
    expect(levelLine('target', [1, 2], 7).points.map(({ samples }) => samples)).toEqual([[7], [7]]);
  });
});

describe('ratioOf', () => {
  it('compares medians', () => {
    expect(ratioOf([1, 2, 90], [4])).toBe(0.5);
  });

  it('meets no target when one of them is missing', () => {
    expect(ratioOf(undefined, [4])).toBe(0);
    expect(ratioOf([4], [])).toBe(0);
  });
});

describe('linePlot', () => {
  const svg = linePlot('title', [chart]);

  it('draws a point where something was measured, and names each line', () => {
    expect(svg.match(/<circle/g)).toHaveLength(3);
    expect(svg).toContain('>cairn<');
    expect(svg).toContain('>a peer<');
  });

  it('puts half as much half as high', () => {
    const [zero, full, half] = [...svg.matchAll(/<path d="M76 ([\d.]+)h|<circle cx="[\d.]+" cy="([\d.]+)"/g)]
      .map(([, grid, point]) => Number(grid ?? point))
      .filter((_, at) => at === 0 || at > 4);
    expect((zero ?? 0) - (full ?? 0)).toBeCloseTo(2 * ((zero ?? 0) - (half ?? 0)), 0);
  });

  it('follows the theme of the reader, and is text that a browser reads', () => {
    expect(svg).toContain('prefers-color-scheme:dark');
    expect(svg).toContain('Random &lt;read&gt;');
    expect(svg).not.toContain('NaN');
  });

  it('draws a chart in which nothing was measured', () => {
    expect(linePlot('empty', [{ ...chart, lines: [] }])).not.toContain('NaN');
  });
});

describe('percentileOf', () => {
  const hundred = Array.from({ length: 100 }, (_, at) => 100 - at);

  it('is the value that this share of all is not above', () => {
    expect(percentileOf(hundred, 0.99)).toBe(99);
    expect(percentileOf(hundred, 1)).toBe(100);
    expect(percentileOf([7], 0.5)).toBe(7);
  });

  it('refuses to speak for no values', () => {
    expect(() => percentileOf([], 0.5)).toThrow(RangeError);
  });
});

describe('parseLog', () => {
  it("reads when each of fio's requests ended, and how long it took", () => {
    expect(parseLog('1000, 2500000, 1, 4096, 0, 0\n1001, 500000, 1, 4096, 0, 0\n')).toEqual([
      { endMs: 1000, latencyMs: 2.5 },
      { endMs: 1001, latencyMs: 0.5 },
    ]);
  });
});
