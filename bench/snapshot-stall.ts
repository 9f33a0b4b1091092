/** Do clients notice that a snapshot is taken? The longest write around each, under full load, beside seconds without one. */
import { setTimeout as delay } from 'node:timers/promises';
import { RealCairn } from '../test/support/real-cairn.js';
import { fill, runFioWithLog, type LoggedRequest } from './support/fio.js';
import type { GrowthQuestion, GrowthResult, Line } from './support/growth.js';
import type { Workload } from './support/question.js';
import type { Plan } from './support/rounds.js';
import { percentileOf, spreadOf } from './support/statistics.js';

/** In a round; each takes a second. */
const snapshots = 20;
const everyMs = 1000;
const stallMsMax = 10;
const workload: Workload = { pattern: 'randwrite', blockBytes: 4096, depth: 32, connections: 1 };

export const question: GrowthQuestion = {
  name: 'snapshot-stall',
  title: '4 KiB random writes at depth 32 while a snapshot is taken every second',
  only: ['cairn'],
  measure,
};

/** Milliseconds since the epoch. */
interface Span {
  begin: number;
  end: number;
}

async function measure(plan: Plan): Promise<GrowthResult> {
  const { dataDirectory, sizeBytes } = plan.ground;
  const cairn = await RealCairn.start({ parent: dataDirectory });
  try {
    const lines: [string, number[][]][] = [
      ['while a snapshot is taken', seconds()],
      ['without', seconds()],
    ];
    for (let round = 1; round <= plan.rounds; round += 1) {
      const name = `stall-${round}`;
      await cairn.serveVolume(name, { size: sizeBytes });
      const target = ['--ioengine=nbd', `--uri=${cairn.uri(name, plan.ground.transport)}`];
      await fill(dataDirectory, target, sizeBytes);
      for (const [kind, [, samples]] of lines.entries()) {
        plan.progress(`${lines[kind]?.[0]}, round ${round} of ${plan.rounds}`);
        const isTaken = kind === 0;
        const run = { workload, sizeBytes, seconds: (snapshots * everyMs) / 1000 + 2 };
        const [requests, spans] = await Promise.all([
          runFioWithLog(dataDirectory, target, run),
          isTaken ? takeSnapshots(cairn, name) : waitAsLong(),
        ]);
        for (const [second, span] of spans.entries()) samples[second]?.push(longestIn(requests, span));
      }
      await cairn.deleteVolume(name).catch(() => {}); // it may take longer than the service waits
    }
    return resultOf(lines);
  } finally {
    await cairn.close();
  }
}

function seconds(): number[][] {
  return Array.from({ length: snapshots }, () => []);
}

async function takeSnapshots(cairn: RealCairn, volume: string): Promise<Span[]> {
  return everySecond(async (number) => void (await cairn.createSnapshot(volume, `s${number}`)));
}

/** Spans of a length that a snapshot may take. */
function waitAsLong(): Promise<Span[]> {
  return everySecond(() => delay(150));
}

async function everySecond(what: (number: number) => Promise<void>): Promise<Span[]> {
  const start = Date.now() + everyMs;
  const spans: Span[] = [];
  for (let number = 0; number < snapshots; number += 1) {
    await delay(Math.max(0, start + number * everyMs - Date.now()));
    const begin = Date.now();
    await what(number);
    spans.push({ begin, end: Date.now() });
  }
  return spans;
}

/** The longest of the requests that were under way at any moment of the span, in milliseconds. */
function longestIn(requests: readonly LoggedRequest[], { begin, end }: Span): number {
  return requests.reduce((longest, { endMs, latencyMs }) => {
    const isUnderWay = endMs >= begin && endMs - latencyMs <= end;
    return isUnderWay ? Math.max(longest, latencyMs) : longest;
  }, 0);
}

function resultOf(measured: readonly [string, number[][]][]): GrowthResult {
  const lines = measured.map(([name, samples]): Line => {
    return { name, points: samples.map((each, second) => ({ at: second + 1, samples: each })) };
  });
  const [during = [], without = []] = measured.map(([, samples]) => samples.flat());
  return {
    charts: [{ title: 'The longest write around each snapshot', axis: 'snapshot', unit: 'ms', digits: 1, lines }],
    verdicts: [
      {
        asked: `the longest write around a snapshot, p99 of ${during.length} snapshots`,
        measured: percentileOf(during, 0.99),
        unit: 'ms',
        most: stallMsMax,
      },
      {
        asked: 'the same, median of the snapshots',
        measured: spreadOf(during).median,
        unit: 'ms',
        most: stallMsMax,
      },
    ],
    notes: [
      `Without snapshots the longest write in a span of 150 ms is ${spreadOf(without).median.toFixed(1)} ms in the middle, ${percentileOf(without, 0.99).toFixed(1)} ms at p99.`,
    ],
  };
}
