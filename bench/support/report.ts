/** What was measured, as an aligned Markdown table, and as JSON with every sample. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { flameGraph, type Frame } from './flame.js';
import type { MachineDescription } from './machine.js';
import { growthJson, growthPlot, growthSections, verdictTable, type Grown } from './growth-report.js';
import { isMet, type Verdict } from './growth.js';
import { plot, type Panel } from './plot.js';
import { isAboutThroughput, type Case, type Question, type Workload } from './question.js';
import type { Measured, Sample } from './rounds.js';
import { spreadOf, type Spread } from './statistics.js';
import { alignedTable } from './table.js';
import { verdictsOf } from './verdicts.js';

export interface CaseResult {
  question: Question;
  asked: Case;
  measured: Measured[];
  /** Of Cairn, when they were asked for. */
  stacks?: Frame;
}

export interface Report {
  date: string;
  machine: MachineDescription;
  versions: Record<string, string>;
  options: Record<string, string | number>;
  /** What was wrong with the machine when the benchmark was forced to run; empty when it was quiet. */
  disturbances: string[];
  missing: string[];
  results: CaseResult[];
  /** Of the questions about what grows. */
  grown: Grown[];
}

const header = [
  '',
  'caching',
  'rate',
  'min–max',
  'of best',
  'of best alike',
  'p50 µs',
  'p99 µs',
  'CPU µs/op',
  'min–max',
  'other CPU',
];

/** The table of one case; the rate is MB/s where the requests are large, else IOPS. */
export function tableOf({ asked, measured }: CaseResult): string {
  const rows = measured.map((entry) => {
    const alike = measured.filter(({ contestant }) => contestant.mode === entry.contestant.mode);
    return rowOf(asked.workload, entry, [bestPeer(asked, measured), bestPeer(asked, alike)]);
  });
  const verdicts = verdictsOf(asked, measured);
  return [alignedTable([header, ...rows]), ...(verdicts.length > 0 ? [verdictTable(verdicts)] : [])].join('\n\n');
}

/** `peers`: the best of all, and the best of its own caching mode. */
function rowOf(workload: Workload, entry: Measured, peers: readonly (Measured | undefined)[]): string[] {
  const rates = rateOf(workload, entry);
  const cpu = spread(entry, 'serverCpu');
  const inMegabytes = isAboutThroughput(workload);
  const ratios = peers.map((peer) => (peer ? (rates.median / rateOf(workload, peer).median).toFixed(2) : ''));
  return [
    entry.contestant.name,
    entry.contestant.caching,
    inMegabytes ? `${whole(rates.median)} MB/s` : `${whole(rates.median)} IOPS`,
    `${whole(rates.min)}–${whole(rates.max)}`,
    ...ratios,
    spread(entry, 'p50').median.toFixed(0),
    spread(entry, 'p99').median.toFixed(0),
    cpu.median.toFixed(1) + (entry.contestant.role === 'limit' ? ' (fio)' : ''),
    `${cpu.min.toFixed(1)}–${cpu.max.toFixed(1)}`,
    spread(entry, 'otherCpu').median.toFixed(1),
  ];
}

/** The peer with the highest rate. */
function bestPeer({ workload }: Case, measured: readonly Measured[]): Measured | undefined {
  const peers = measured.filter(({ contestant }) => contestant.role === 'peer');
  return peers.sort((a, b) => rateOf(workload, b).median - rateOf(workload, a).median)[0];
}

function rateOf(workload: Workload, entry: Measured): Spread {
  return spread(entry, isAboutThroughput(workload) ? 'megabytesPerSecond' : 'iops');
}

function spread({ samples }: Measured, figure: keyof Sample): Spread {
  return spreadOf(samples.map((sample) => sample[figure]));
}

function whole(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}

/** Writes `<date>.md`, `<date>.json` and a plot `<date>-<question>.svg` for each question; returns their paths. */
export function writeReport(directory: string, report: Report): string[] {
  mkdirSync(directory, { recursive: true });
  const stem = join(directory, report.date.replaceAll(':', '-').replace(/\.\d+Z$/, 'Z'));
  writeFileSync(`${stem}.md`, markdownOf(report));
  writeFileSync(`${stem}.json`, `${JSON.stringify(jsonOf(report), undefined, 2)}\n`);
  return [`${stem}.md`, `${stem}.json`, ...writePlots(stem, report)];
}

function writePlots(stem: string, { results, grown }: Report): string[] {
  const questions = new Set(results.map(({ question }) => question));
  const drawn = [...questions].map((question): [string, string] => {
    const panels = results.filter((result) => result.question === question).map(panelOf);
    return [question.name, plot(question.title, panels)];
  });
  const lines = grown.map((each): [string, string] => [each.question.name, growthPlot(each)]);
  const flames = results.flatMap(({ question, asked, stacks }): [string, string][] => {
    const title = `${question.title}: ${asked.name}`;
    return stacks ? [[`flame-${fileName(`${question.name} ${asked.name}`)}`, flameGraph(title, stacks)]] : [];
  });
  return [...drawn, ...lines, ...flames].map(([name, svg]) => {
    const path = `${stem}-${name}.svg`;
    writeFileSync(path, svg);
    return path;
  });
}

function fileName(words: string): string {
  return words.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-');
}

function panelOf({ asked, measured }: CaseResult): Panel {
  return {
    title: asked.name,
    unit: isAboutThroughput(asked.workload) ? 'MB/s' : 'IOPS',
    bars: measured.map((entry) => {
      const { name, mode, role } = entry.contestant;
      return { name, mode, role, rate: rateOf(asked.workload, entry), cpu: spread(entry, 'serverCpu') };
    }),
  };
}

function markdownOf(report: Report): string {
  const { machine } = report;
  const options = Object.entries(report.options).map(([name, value]) => `--${name} ${value}`);
  return [
    `# Benchmark of ${report.date}`,
    '',
    `- Machine: ${machine.cpus} × ${machine.cpu}, ${machine.memoryGib} GiB, Linux ${machine.kernel}, ${machine.fileSystem}`,
    `- Versions: ${[...new Set(Object.values(report.versions))].join('; ')}; Node ${machine.node}`,
    `- Command: \`npm run bench -- ${options.join(' ')}\``,
    ...report.disturbances.map((what) => `- **Not a quiet machine: ${what}.** The figures mean little.`),
    ...report.missing.map((what) => `- Left out: ${what}.`),
    `- Of the figures that are asked for, ${countOf(report)}.`,
    '',
    'Medians over interleaved rounds, as a share of the best peer and of the best of the same caching mode (those that claim direct I/O,',
    'the page cache, or to write through it). CPU is user and system time of all server threads, divided by operations; "other CPU" is the',
    'rest of the machine without the client: kernel workers, and whoever disturbs.',
    ...report.results.flatMap(sectionOf),
    ...growthSections(report.grown),
    '',
  ].join('\n');
}

function countOf({ results, grown }: Report): string {
  const verdicts: Verdict[] = [
    ...results.flatMap(({ asked, measured }) => verdictsOf(asked, measured)),
    ...grown.flatMap(({ result }) => result.verdicts),
  ];
  return `${verdicts.filter(isMet).length} of ${verdicts.length} are met`;
}

function sectionOf(result: CaseResult): string[] {
  const commands = result.measured.map(
    ({ contestant, commandLine }) => `- ${contestant.name}: \`${withoutPlace(commandLine)}\``,
  );
  return ['', `## ${result.question.title}: ${result.asked.name}`, '', tableOf(result), '', ...commands];
}

/** Where this copy of the repository is does not matter to the reader. */
function withoutPlace(commandLine: string): string {
  return commandLine.replaceAll(`${process.cwd()}/`, '');
}

function jsonOf({ results, grown, ...rest }: Report): unknown {
  return {
    ...rest,
    grown: growthJson(grown),
    results: results.map(({ question, asked, measured }) => ({
      question: question.name,
      ...asked,
      verdicts: verdictsOf(asked, measured).map((verdict) => ({ ...verdict, met: isMet(verdict) })),
      contestants: measured.map(({ contestant, commandLine, samples }) => {
        const { name, mode, caching, role } = contestant;
        return { name, mode, caching, role, commandLine: withoutPlace(commandLine), samples };
      }),
    })),
  };
}
