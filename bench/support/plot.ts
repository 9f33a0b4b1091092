/** Plots of one question as SVG: for each case, what everybody reached and what it cost, as bars with their spread. */
import type { CachingMode } from './contestant.js';
import { svgDocument, text } from './svg.js';

/** One bar. */
export interface Bar {
  name: string;
  mode: CachingMode;
  role: 'ours' | 'peer' | 'limit';
  rate: Whisker;
  /** Microseconds of server CPU an operation. */
  cpu: Whisker;
}

export interface Whisker {
  median: number;
  min: number;
  max: number;
}

export interface Panel {
  title: string;
  /** `IOPS` or `MB/s`. */
  unit: string;
  bars: readonly Bar[];
}

const width = 960;
const margin = 16;
const nameWidth = 210;
const gap = 24;
const barHeight = 18;
const rowHeight = 26;
const headHeight = 56;
const figureWidth = 84;
const columnWidth = (width - 2 * margin - nameWidth - 2 * gap) / 2;

/** Panels one below the other. */
export function plot(title: string, panels: readonly Panel[]): string {
  const heights = panels.map(({ bars }) => headHeight + bars.length * rowHeight);
  const height = 48 + heights.reduce((sum, each) => sum + each, 0) + margin;
  let top = 48;
  const drawn = panels.map((panel, at) => {
    const group = `<g transform="translate(${margin} ${top})">${panelOf(panel)}</g>`;
    top += heights[at] ?? 0;
    return group;
  });
  return svgDocument(width, height, [text(margin, 30, title, { size: 17, weight: 600 }), ...drawn]);
}

function panelOf({ title, unit, bars }: Panel): string {
  const rateLeft = nameWidth + gap;
  const cpuLeft = rateLeft + columnWidth + gap;
  const rateMax = largest(bars.map(({ rate }) => rate.max));
  const cpuMax = largest(bars.map(({ cpu }) => cpu.max));
  return [
    text(0, 20, title, { weight: 600 }),
    text(rateLeft, 42, unit, { className: 'faint' }),
    text(cpuLeft, 42, 'server CPU, µs an operation', { className: 'faint' }),
    ...bars.flatMap((bar, row) => {
      const y = headHeight - 4 + row * rowHeight;
      return [
        text(0, y + 13, bar.name, { weight: bar.role === 'ours' ? 600 : 400 }),
        barOf({ left: rateLeft, y, role: bar.role }, bar.rate, rateMax, whole),
        barOf({ left: cpuLeft, y, role: bar.role }, bar.cpu, cpuMax, (value) => value.toFixed(1)),
      ];
    }),
  ].join('\n');
}

function barOf(
  place: { left: number; y: number; role: Bar['role'] },
  { median, min, max }: Whisker,
  scaleMax: number,
  format: (value: number) => string,
): string {
  const { left, y, role } = place;
  const scaled = (value: number) => (value / scaleMax) * (columnWidth - figureWidth);
  const middle = y + barHeight / 2;
  return [
    `<rect x="${left}" y="${y}" width="${scaled(median).toFixed(1)}" height="${barHeight}" class="${role}"/>`,
    `<path d="M${(left + scaled(min)).toFixed(1)} ${middle}H${(left + scaled(max)).toFixed(1)}" class="whisker"/>`,
    text(left + scaled(max) + 6, y + 13, format(median)),
  ].join('');
}

function largest(values: readonly number[]): number {
  return Math.max(1e-9, ...values);
}

function whole(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}
