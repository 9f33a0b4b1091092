/** Does a volume get slower by being large? The same number of blocks, scattered over 1 GiB to 16 TiB of a thin volume. */
import type { Contestant, Target } from './support/contestant.js';
import { runFio, writeScattered } from './support/fio.js';
import { ours, ratioOf } from './support/growth-lines.js';
import { samplesAt, type GrowthQuestion, type GrowthResult, type Line } from './support/growth.js';
import type { Workload } from './support/question.js';
import { settle, type Plan } from './support/rounds.js';

const gibibyte = 2 ** 30;
/** ext4 has files of 16 TiB less one block at most; that is what the last one is. */
const sizesGib = [1, 64, 1024, 16_384];
const blocks = 32_768;
/** Nobody asks for a figure, but size alone should cost little. */
const ratioMin = 0.9;

const workload = { blockBytes: 4096, depth: 32, connections: 1 } as const;
const loads: { name: string; workload: Workload }[] = [
  { name: 'Random read', workload: { ...workload, pattern: 'randread' } },
  { name: 'Random overwrite', workload: { ...workload, pattern: 'randwrite' } },
];

export const question: GrowthQuestion = {
  name: 'volume-size',
  title: '32,768 written blocks of 4 KiB scattered over a thin volume, depth 32, one connection',
  only: ['raw file', 'cairn', 'nbdkit cache=none', 'qemu-nbd io_uring'],
  measure,
};

interface Served {
  contestant: Contestant;
  sizeGib: number;
  target: Target;
  /** By load. */
  samples: number[][];
}

async function measure(plan: Plan): Promise<GrowthResult> {
  const all: Served[] = [];
  try {
    for (const sizeGib of sizesGib)
      for (const contestant of plan.contestants) all.push(await serve(plan, contestant, sizeGib));
    for (let round = 1; round <= plan.rounds; round += 1) for (const served of all) await measureRound(plan, served);
  } finally {
    for (const { target } of all) await target.close();
  }
  const charts = loads.map(({ name }, load) => ({
    title: name,
    axis: 'volume',
    label: sizeLabel,
    unit: 'IOPS',
    lines: linesOf(plan, all, load),
  }));
  const last = sizesGib.at(-1) ?? 1;
  const verdicts = charts.map(({ title, lines }) => ({
    asked: `${title.toLowerCase()} on ${sizeLabel(last)}, of on 1 GiB`,
    measured: ratioOf(samplesAt(lines, ours, last), samplesAt(lines, ours, 1)),
    unit: '',
    least: ratioMin,
  }));
  return { charts, verdicts, notes: ['The largest has one block less than 16 TiB: no file of ext4 is larger.'] };
}

async function serve(plan: Plan, contestant: Contestant, sizeGib: number): Promise<Served> {
  plan.progress(`${sizeLabel(sizeGib)}: ${contestant.name} is written`);
  const target = await contestant.thinVolume(plan.ground, bytesOf(sizeGib));
  await writeScattered(plan.ground.dataDirectory, target.fio, { sizeBytes: bytesOf(sizeGib), blocks });
  return { contestant, sizeGib, target, samples: loads.map(() => []) };
}

/** Each block is met once: the client draws the same numbers as when they were written. */
async function measureRound(plan: Plan, { contestant, sizeGib, target, samples }: Served): Promise<void> {
  for (const [load, { name, workload: asked }] of loads.entries()) {
    plan.progress(`${name} on ${sizeLabel(sizeGib)}: ${contestant.name}`);
    await settle(target);
    const run = { workload: asked, sizeBytes: bytesOf(sizeGib), seconds: 60, scatteredBlocks: blocks };
    samples[load]?.push((await runFio(plan.ground.dataDirectory, target.fio, run, false)).iops);
  }
}

function linesOf(plan: Plan, all: readonly Served[], load: number): Line[] {
  const ordered = [...plan.contestants].sort((a, b) => Number(b.role === 'ours') - Number(a.role === 'ours'));
  return ordered.map(({ name }) => ({
    name,
    points: all
      .filter(({ contestant }) => contestant.name === name)
      .map(({ sizeGib, samples }) => ({ at: sizeGib, samples: samples[load] ?? [] })),
  }));
}

function bytesOf(sizeGib: number): number {
  return Math.min(sizeGib * gibibyte, 2 ** 44 - 4096);
}

function sizeLabel(sizeGib: number): string {
  return sizeGib < 1024 ? `${sizeGib} GiB` : `${sizeGib / 1024} TiB`;
}
