/** Lines over what grows, as SVG: one chart below the other, every line named at its end. */
import type { Chart, Line } from './growth.js';
import { spreadOf } from './statistics.js';
import { hueClass, svgDocument, text } from './svg.js';

const width = 860;
const margin = 16;
const left = 76;
const right = 190;
const chartHeight = 190;
const headHeight = 48;
const footHeight = 46;
const plotWidth = width - 2 * margin - left - right;
const nameHeight = 15;
const labelWidth = 52;

export function linePlot(title: string, charts: readonly Chart[]): string {
  const each = headHeight + chartHeight + footHeight;
  const drawn = charts.map(
    (chart, at) => `<g transform="translate(${margin} ${48 + at * each})">${chartOf(chart)}</g>`,
  );
  const head = text(margin, 30, title, { size: 17, weight: 600 });
  return svgDocument(width, 48 + charts.length * each, [head, ...drawn]);
}

/** Where a place and a value are drawn. Places are evenly spaced: each step is as much of a step as the next one. */
interface Scale {
  places: readonly number[];
  max: number;
  x: (at: number) => number;
  y: (value: number) => number;
}

function chartOf(chart: Chart): string {
  const scale = scaleOf(chart.lines);
  const names = namesOf(chart.lines, scale);
  return [
    text(0, 20, chart.title, { weight: 600 }),
    text(0, 38, chart.unit, { className: 'faint' }),
    ...grid(scale),
    ...ticks(chart, scale),
    ...chart.lines.map((line, index) => lineOf(line, index, scale)),
    ...names,
  ].join('\n');
}

function scaleOf(lines: readonly Line[]): Scale {
  const points = lines.flatMap((line) => line.points).filter(({ samples }) => samples.length > 0);
  const places = [...new Set(points.map(({ at }) => at))].sort((a, b) => a - b);
  const max = roundUp(Math.max(1e-9, ...points.map(({ samples }) => spreadOf(samples).max)));
  const step = plotWidth / Math.max(1, places.length - 1);
  return {
    places,
    max,
    x: (at) => left + places.indexOf(at) * step,
    y: (value) => headHeight + chartHeight * (1 - value / max),
  };
}

/** To the next of 1, 2, 4, 6, 8 and 10 times a power of ten: quarters of them are easily read. */
function roundUp(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value));
  return ([1, 2, 4, 6, 8].find((factor) => value <= factor * power) ?? 10) * power;
}

function grid({ max, y }: Scale): string[] {
  return [0, 0.25, 0.5, 0.75, 1].flatMap((share) => {
    const at = y(share * max);
    const label = (share * max).toLocaleString('en-US', { maximumSignificantDigits: 3 });
    return [
      `<path d="M${left} ${at.toFixed(1)}h${plotWidth}" class="grid"/>`,
      text(left - 8, at + 4, label, { className: 'faint', anchor: 'end' }),
    ];
  });
}

/** As many labels as have room. */
function ticks({ axis, label = String }: Chart, { places, x }: Scale): string[] {
  const every = Math.ceil((places.length * labelWidth) / (plotWidth + labelWidth));
  const base = headHeight + chartHeight;
  const shown = places.filter((_, index) => index % every === 0);
  return [
    ...shown.map((at) => text(x(at), base + 17, label(at), { className: 'faint', anchor: 'middle' })),
    text(left + plotWidth + 12, base + 17, axis, { className: 'faint' }),
  ];
}

function lineOf({ points }: Line, index: number, { x, y }: Scale): string {
  const drawn = points
    .filter(({ samples }) => samples.length > 0)
    .map(({ at, samples }) => ({ at: x(at), ...spreadOf(samples) }));
  const path = drawn.map(({ at, median }, each) => `${each === 0 ? 'M' : 'L'}${at.toFixed(1)} ${y(median).toFixed(1)}`);
  const whiskers = drawn
    .filter(({ min, max }) => max > min)
    .map(({ at, min, max }) => `M${at.toFixed(1)} ${y(min).toFixed(1)}V${y(max).toFixed(1)}`);
  const style = `class="${hueClass('line', index)}" fill="none"`;
  return [
    `<path d="${whiskers.join('')}" ${style} opacity=".45"/>`,
    `<path d="${path.join('')}" ${style} stroke-width="${index === 0 ? 2.5 : 1.5}" stroke-linejoin="round"/>`,
    ...drawn.map(
      ({ at, median }) =>
        `<circle cx="${at.toFixed(1)}" cy="${y(median).toFixed(1)}" r="${drawn.length > 16 ? 1.5 : 2.5}" class="${hueClass('name', index)}"/>`,
    ),
  ].join('');
}

/** At the lines' ends, moved apart where they would lie on each other. */
function namesOf(lines: readonly Line[], { x, y }: Scale): string[] {
  const ends = lines.flatMap(({ name, points }, index) => {
    const last = points.findLast(({ samples }) => samples.length > 0);
    return last ? [{ name, index, x: x(last.at), y: y(spreadOf(last.samples).median) }] : [];
  });
  ends.sort((a, b) => a.y - b.y);
  const placed = ends.map((end) => end.y);
  for (let at = 1; at < placed.length; at += 1)
    placed[at] = Math.max(placed[at] ?? 0, (placed[at - 1] ?? 0) + nameHeight);
  const overhang = Math.max(0, (placed.at(-1) ?? 0) - (headHeight + chartHeight));
  return ends.map(({ name, index }, at) =>
    text(left + plotWidth + 12, (placed[at] ?? 0) - overhang + 4, name, {
      className: hueClass('name', index),
      weight: index === 0 ? 600 : 400,
    }),
  );
}
