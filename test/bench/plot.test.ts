import { describe, expect, it } from 'vitest';
import { plot, type Bar } from '../../bench/support/plot.js';

const bar: Bar = {
  name: 'a <server> & more',
  mode: 'direct',
  role: 'ours',
  rate: { median: 50_000, min: 40_000, max: 100_000 },
  cpu: { median: 2, min: 1, max: 4 },
};

describe('plot', () => {
  const svg = plot('title', [
    { title: 'read', unit: 'IOPS', bars: [bar, { ...bar, name: 'peer', role: 'peer' }] },
    { title: 'write', unit: 'IOPS', bars: [{ ...bar, rate: { median: 0, min: 0, max: 0 } }] },
  ]);

  it('has a bar for the rate and the CPU of each', () => {
    expect(svg.match(/<rect x=/g)).toHaveLength(6);
    expect(svg).toContain('>50,000<');
    expect(svg).toContain('>2.0<');
  });

  it('is scaled by the largest, so that half of it is half as long', () => {
    const widths = [...svg.matchAll(/<rect x="[\d.]+" y="[\d.]+" width="([\d.]+)"/g)].map(([, wide]) => Number(wide));
    const [line] = [...svg.matchAll(/M([\d.]+) [\d.]+H([\d.]+)/g)];
    const left = Number(/<rect x="([\d.]+)"/.exec(svg)?.[1]);
    expect((widths[0] ?? 0) * 2).toBeCloseTo(Number(line?.[2]) - left, 0);
  });

  it('is text that a browser reads', () => {
    expect(svg).toContain('a &lt;server&gt; &amp; more');
    expect(svg).not.toContain('NaN');
  });
});
