/** What do ever more volumes on one node cost: to start with them, to attach one more, to list them, and while nobody uses them? */
import { setTimeout as delay } from 'node:timers/promises';
import { RealCairn } from '../test/support/real-cairn.js';
import type { Volume, VolumeList } from '../src/api/schemas.js';
import type { GrowthQuestion, GrowthResult, Line, Point } from './support/growth.js';
import { memoryBytes } from './support/memory.js';
import { processSeconds } from './support/processor-time.js';
import type { Plan } from './support/rounds.js';
import { spreadOf } from './support/statistics.js';

const counts = [1, 10, 100, 500, 1000, 2000];
const volumeBytes = 10 * 2 ** 30;
const clients = 8;
/** Volumes that are detached and attached again, one after the other. */
const attachedAgain = 10;
const startTimeoutMs = 300_000;
/** Between looks: a list of two thousand volumes takes the service from what it is to do. */
const lookMs = 250;
const idleSeconds = 5;
const idleBytesMax = 256 * 1024;
/** One hundredth of one CPU for two thousand: the resolution of the kernel's accounting over some seconds. */
const idleCpuMax = 1;

export const question: GrowthQuestion = {
  name: 'volume-count',
  title: 'Ever more attached volumes of 10 GiB on one node, all idle',
  only: ['cairn'],
  measure,
};

/** One sample a round; bytes and percent of a CPU. */
const figures = [
  'attach one more',
  'list all',
  'service starts, data plane runs on',
  'everything starts',
  'idle CPU, data plane',
  'idle CPU, service',
  'data plane memory',
  'service memory',
] as const;
type Figures = Record<(typeof figures)[number], Point[]>;
type Samples = Record<(typeof figures)[number], number[]>;

async function measure(plan: Plan): Promise<GrowthResult> {
  const points = Object.fromEntries(figures.map((name) => [name, [] as Point[]])) as Figures;
  const cairn = await RealCairn.start({ parent: plan.ground.dataDirectory });
  try {
    let made = 0;
    for (const count of counts) {
      plan.progress(`${count} volumes are made and attached`);
      await grow(cairn, made, count);
      made = count;
      await measureAt(plan, cairn, count, points);
    }
  } finally {
    await cairn.close();
  }
  return resultOf(points);
}

/** The volumes from one number to another, several at a time. */
async function grow(cairn: RealCairn, from: number, to: number): Promise<void> {
  const left = Array.from({ length: to - from }, (_, index) => `volume-${from + index}`);
  const client = async () => {
    for (let name = left.shift(); name !== undefined; name = left.shift())
      await cairn.serveVolume(name, { size: volumeBytes });
  };
  await Promise.all(Array.from({ length: clients }, client));
}

async function measureAt(plan: Plan, cairn: RealCairn, count: number, points: Figures): Promise<void> {
  const samples = Object.fromEntries(figures.map((name) => [name, [] as number[]])) as Samples;
  for (let round = 1; round <= plan.rounds; round += 1) {
    plan.progress(`${count} volumes, round ${round} of ${plan.rounds}`);
    samples['everything starts'].push(await startAgain(cairn, count, () => cairn.stop()));
    await measureMemory(cairn, samples);
    await measureIdle(cairn, samples);
    const again = await startAgain(cairn, count, () => cairn.stopServe());
    samples['service starts, data plane runs on'].push(again);
    samples['list all'].push(await milliseconds(() => list(cairn)));
    for (let number = 0; number < Math.min(attachedAgain, count); number += 1) {
      await cairn.detach(`volume-${number}`);
      samples['attach one more'].push(await milliseconds(() => cairn.attach(`volume-${number}`)));
    }
  }
  for (const name of figures) points[name].push({ at: count, samples: samples[name] });
}

/** Milliseconds from the end of `stop` until every volume can be connected to. */
async function startAgain(cairn: RealCairn, count: number, stop: () => Promise<unknown>): Promise<number> {
  await stop();
  const began = performance.now();
  await cairn.startServe();
  const deadline = began + startTimeoutMs;
  while (!isServing(await list(cairn), count)) {
    if (performance.now() > deadline) throw new Error(`${count} volumes are not attached in time.`);
    await delay(lookMs);
  }
  return performance.now() - began;
}

function isServing(volumes: readonly Volume[], count: number): boolean {
  return volumes.length === count && volumes.every(({ state, reason }) => state === 'attached' && reason === null);
}

async function list(cairn: RealCairn): Promise<Volume[]> {
  return (await cairn.rest.call<VolumeList>('GET', '/v1/volumes')).volumes;
}

async function measureMemory(cairn: RealCairn, samples: Samples): Promise<void> {
  samples['data plane memory'].push(memoryBytes(cairn.dataPlanePids()));
  samples['service memory'].push(memoryBytes([cairn.servePid]));
}

/** Percent of one CPU. */
async function measureIdle(cairn: RealCairn, samples: Samples): Promise<void> {
  const seconds = () => [processSeconds(cairn.dataPlanePids()), processSeconds([cairn.servePid])] as const;
  const before = seconds();
  await delay(idleSeconds * 1000);
  const after = seconds();
  samples['idle CPU, data plane'].push(((after[0] - before[0]) / idleSeconds) * 100);
  samples['idle CPU, service'].push(((after[1] - before[1]) / idleSeconds) * 100);
}

async function milliseconds(what: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await what();
  return performance.now() - began;
}

function resultOf(points: Figures): GrowthResult {
  const lines = (names: readonly (keyof Figures)[], divisor = 1): Line[] =>
    names.map((name) => ({
      name,
      points: points[name].map(({ at, samples }) => ({ at, samples: samples.map((value) => value / divisor) })),
    }));
  const most = counts.at(-1) ?? 1;
  const idleBytes = (middle(points['data plane memory'], most) - middle(points['data plane memory'], 1)) / (most - 1);
  const axis = 'volumes';
  return {
    charts: [
      { title: 'Start', axis, unit: 'ms', lines: lines(['everything starts', 'service starts, data plane runs on']) },
      { title: 'Attach and list', axis, unit: 'ms', digits: 1, lines: lines(['attach one more', 'list all']) },
      { title: 'Memory', axis, unit: 'MiB', lines: lines(['data plane memory', 'service memory'], 2 ** 20) },
      {
        title: 'CPU while all are idle',
        axis,
        unit: '% of a CPU',
        digits: 2,
        lines: lines(['idle CPU, data plane', 'idle CPU, service']),
      },
    ],
    verdicts: [
      {
        asked: `memory of an idle volume, of ${most}`,
        measured: idleBytes / 1024,
        unit: 'KiB',
        most: idleBytesMax / 1024,
      },
      {
        asked: `CPU of ${most} idle volumes, data plane`,
        measured: middle(points['idle CPU, data plane'], most),
        unit: '%',
        most: idleCpuMax,
      },
    ],
    notes: [
      'Start: from the start of `cairn serve` until a list shows every volume attached. Memory is the proportional set size (smaps_rollup).',
    ],
  };
}

function middle(points: readonly Point[], at: number): number {
  return spreadOf(points.find((point) => point.at === at)?.samples ?? [0]).median;
}
