/** What was measured of something that grows, as Markdown tables, lines and JSON. */
import { isMet, type Chart, type GrowthQuestion, type GrowthResult, type Verdict } from './growth.js';
import { linePlot } from './line-plot.js';
import { spreadOf } from './statistics.js';
import { alignedTable } from './table.js';

export interface Grown {
  question: GrowthQuestion;
  result: GrowthResult;
}

/** The tables of one question: the figures that are asked for first. */
export function growthTables({ verdicts, charts, notes }: GrowthResult): string {
  return [
    ...(verdicts.length > 0 ? [verdictTable(verdicts)] : []),
    ...charts.map((chart) => `**${chart.title}**, ${chart.unit}\n\n${chartTable(chart)}`),
    ...notes,
  ].join('\n\n');
}

export function verdictTable(verdicts: readonly Verdict[]): string {
  const rows = verdicts.map((verdict) => {
    const { asked, measured, unit, least, most } = verdict;
    const target = least === undefined ? `at most ${figure(most ?? 0, unit)}` : `at least ${figure(least, unit)}`;
    return [asked, outcomeOf(verdict), figure(measured, unit), target];
  });
  return alignedTable([['asked', 'outcome', 'measured', 'target'], ...rows]);
}

/** By how much a figure is missed is the measured one as a share of the target. */
function outcomeOf(verdict: Verdict): string {
  if (isMet(verdict)) return 'met';
  const target = verdict.least ?? verdict.most ?? 0;
  return target === 0 ? 'missed' : `missed: ${(verdict.measured / target).toFixed(2)} of it`;
}

function figure(value: number, unit: string): string {
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  const number = value.toLocaleString('en-US', { maximumFractionDigits: digits });
  return unit === '' ? number : `${number} ${unit}`;
}

/** A row for each size of what grows, a column for each line: the median, and where there are more samples their spread. */
function chartTable({ axis, label = String, digits = 0, lines }: Chart): string {
  const places = [...new Set(lines.flatMap(({ points }) => points.map(({ at }) => at)))].sort((a, b) => a - b);
  const format = (value: number) =>
    value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits });
  const rows = places.map((at) => [
    label(at),
    ...lines.map(({ points }) => {
      const samples = points.find((point) => point.at === at)?.samples ?? [];
      if (samples.length === 0) return '';
      const { median, min, max } = spreadOf(samples);
      return samples.length === 1 ? format(median) : `${format(median)} (${format(min)}–${format(max)})`;
    }),
  ]);
  return alignedTable([[axis, ...lines.map(({ name }) => name)], ...rows], 1);
}

export function growthSections(grown: readonly Grown[]): string[] {
  return grown.flatMap(({ question, result }) => ['', `## ${question.title}`, '', growthTables(result)]);
}

export function growthPlot({ question, result }: Grown): string {
  return linePlot(question.title, result.charts);
}

export function growthJson(grown: readonly Grown[]): unknown {
  return grown.map(({ question: { name, title }, result: { charts, verdicts, notes } }) => ({
    question: name,
    title,
    verdicts: verdicts.map((verdict) => ({ ...verdict, met: isMet(verdict) })),
    charts: charts.map(({ title: chart, axis, unit, lines }) => ({ title: chart, axis, unit, lines })),
    notes,
  }));
}
