import { describe, expect, it } from 'vitest';
import { isMet } from '../../bench/support/growth.js';
import type { Ask, Case } from '../../bench/support/question.js';
import type { Measured, Sample } from '../../bench/support/rounds.js';
import { verdictsOf } from '../../bench/support/verdicts.js';

function entry(role: 'ours' | 'peer' | 'limit', mode: string, figures: Partial<Sample>): Measured {
  const contestant = { name: role, role, mode } as Measured['contestant'];
  return { contestant, commandLine: '', samples: [figures as Sample] };
}

const measured = [
  entry('limit', 'direct', { iops: 100, p50: 20, serverCpu: 1 }),
  entry('ours', 'direct', { iops: 60, p50: 30, serverCpu: 6 }),
  entry('peer', 'direct', { iops: 40, p50: 60, serverCpu: 20 }),
  entry('peer', 'direct', { iops: 30, p50: 50, serverCpu: 5 }),
  entry('peer', 'page cache', { iops: 80, p50: 10, serverCpu: 10 }),
];

function asking(...asks: Ask[]): Case {
  return {
    name: 'read',
    volume: 'written',
    workload: { pattern: 'randread', blockBytes: 4096, depth: 32, connections: 1 },
    asks,
  };
}

describe('verdictsOf', () => {
  it.each<[Ask, number, boolean]>([
    [{ figure: 'rate', of: 'best alike', least: 1.5 }, 1.5, true],
    [{ figure: 'rate', of: 'best of all', least: 1.2 }, 0.75, false],
    [{ figure: 'rate', of: 'raw', least: 0.9 }, 0.6, false],
    [{ figure: 'cpu', of: 'best alike', most: 0.5 }, 0.3, true],
    [{ figure: 'cpu', of: 'best of all', most: 0.5 }, 0.6, false],
    [{ figure: 'p50', of: 'raw', most: 16 }, 10, true],
  ])('compares with the one that is asked for: %o', (ask, figure, met) => {
    const [verdict] = verdictsOf(asking(ask), measured);
    expect(verdict?.measured).toBeCloseTo(figure);
    expect(verdict && isMet(verdict)).toBe(met);
  });

  it('compares with its own NBD server, the second that is ours', () => {
    const own = [...measured, entry('ours', 'direct', { iops: 90, serverCpu: 5 })];
    const [verdict] = verdictsOf(asking({ figure: 'cpu', of: 'own nbd', most: 1.25 }), own);
    expect(verdict?.measured).toBeCloseTo(1.2);
    expect(verdict?.asked).toContain('its own NBD server');
    expect(verdict && isMet(verdict)).toBe(true);
  });

  it('takes a share of the raw file for enough where the multiple would be more', () => {
    const [verdict] = verdictsOf(asking({ figure: 'rate', of: 'best alike', least: 5, orOfRaw: 0.6 }), measured);
    expect(verdict?.least).toBeCloseTo(1.5);
    expect(verdict && isMet(verdict)).toBe(true);
  });

  it('says nothing without whom it would compare', () => {
    const alone = measured.slice(0, 2);
    expect(verdictsOf(asking({ figure: 'rate', of: 'best alike', least: 1 }), alone)).toEqual([]);
    expect(verdictsOf(asking(), measured)).toEqual([]);
  });
});
