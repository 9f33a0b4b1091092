/** How long does a large volume with many snapshots and scattered blocks take to open, and what does it take of the memory? */
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { mulberry32 } from '../test/support/random.js';
import { NbdConnection } from '../test/support/nbd-connection.js';
import { RealCairn } from '../test/support/real-cairn.js';
import type { GrowthQuestion, GrowthResult } from './support/growth.js';
import { memoryBytes } from './support/memory.js';
import { forgetPages, type Plan } from './support/rounds.js';
import { spreadOf } from './support/statistics.js';

const volumeBytes = 2 ** 40;
const blockBytes = 4096;
/** Opened and measured with so many snapshots. */
const counts = [0, 50, 200];
const blocksEach = 5000;
const inFlight = 64;
const openMsMax = 1000;
const indexBytesMax = 24 * 2 ** 20;
const emptyBytesMax = 8 * 2 ** 20;
const volume = 'scattered';
const empty = 'empty';

export const question: GrowthQuestion = {
  name: 'open-time',
  title: `Opening a volume of 1 TiB, ${blocksEach.toLocaleString('en-US')} scattered blocks of 4 KiB in each snapshot`,
  only: ['cairn'],
  measure,
};

const ways = [
  'files in the page cache',
  'files on the disk',
  'after the death of the data plane',
  'after its death, before the snapshots have lists of runs',
] as const;
/** How long the background work of so many snapshots may take. */
const listsTimeoutMs = 600_000;

async function measure(plan: Plan): Promise<GrowthResult> {
  const cairn = await RealCairn.start({ parent: plan.ground.dataDirectory });
  try {
    await cairn.createVolume(empty, { size: volumeBytes });
    await cairn.createVolume('small', { size: 2 ** 30 });
    await cairn.serveVolume(volume, { size: volumeBytes });
    const lines = ways.map((name) => ({ name, points: [] as { at: number; samples: number[] }[] }));
    const memory = { name: volume, points: [] as { at: number; samples: number[] }[] };
    const random = mulberry32(1);
    for (const [index, count] of counts.entries()) {
      plan.progress(`${count} snapshots are made`);
      await addSnapshots(cairn, random, counts[index - 1] ?? 0, count);
      const samples = await openings(plan, cairn, count);
      for (const [way, line] of lines.entries()) line.points.push({ at: count, samples: samples[way] ?? [] });
      memory.points.push({ at: count, samples: [(await memoryOf(cairn, volume)) / 2 ** 20] });
      await cairn.attach(volume);
    }
    return resultOf(lines, memory, await memoryOf(cairn, empty));
  } finally {
    await cairn.close();
  }
}

/** Scattered writes before each. */
async function addSnapshots(cairn: RealCairn, random: () => number, from: number, to: number): Promise<void> {
  const client = await NbdConnection.open(cairn.address('unix'), volume);
  const data = Buffer.alloc(blockBytes, 0xa5);
  for (let number = from; number < to; number += 1) {
    let left = blocksEach;
    const writer = async () => {
      for (; left > 0; left -= 1)
        await client.write(Math.floor(random() * (volumeBytes / blockBytes)) * blockBytes, data);
    };
    await Promise.all(Array.from({ length: inFlight }, writer));
    await cairn.createSnapshot(volume, `s${number}`);
  }
  await client.disconnect();
}

/** Milliseconds of each of the ways. */
async function openings(plan: Plan, cairn: RealCairn, count: number): Promise<number[][]> {
  const samples: number[][] = ways.map(() => []);
  for (let round = 1; round <= plan.rounds; round += 1) {
    plan.progress(`${count} snapshots, round ${round} of ${plan.rounds}`);
    await cairn.detach(volume);
    samples[0]?.push(await attachTime(cairn));
    await cairn.detach(volume);
    await forgetPages(filesOf(join(cairn.pool, 'replicas')));
    samples[1]?.push(await attachTime(cairn));
    await listsMade(cairn, count);
    samples[2]?.push(await timeAfterDeath(cairn));
    await cairn.detach(volume);
    for (const list of listsOf(cairn)) rmSync(list);
    await cairn.attach(volume);
    samples[3]?.push(await timeAfterDeath(cairn));
  }
  await cairn.detach(volume);
  return samples;
}

function listsOf(cairn: RealCairn): string[] {
  return filesOf(join(cairn.pool, 'replicas')).filter((file) => file.endsWith('.runs'));
}

/** The volume's service makes them while its clients rest. */
async function listsMade(cairn: RealCairn, count: number): Promise<void> {
  for (const deadline = Date.now() + listsTimeoutMs; listsOf(cairn).length < count;) {
    if (Date.now() > deadline) throw new Error(`${count} snapshots have no lists of runs yet`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

async function attachTime(cairn: RealCairn): Promise<number> {
  const began = performance.now();
  await cairn.attach(volume);
  return performance.now() - began;
}

/** Until a client is served again; the process itself takes its part of that to start. */
async function timeAfterDeath(cairn: RealCairn): Promise<number> {
  const pid = await cairn.holderOf(volume);
  const began = performance.now();
  process.kill(pid, 'SIGKILL');
  for (;;) {
    const client = await NbdConnection.open(cairn.address('unix'), volume).catch(() => undefined);
    if (client) {
      await client.disconnect();
      return performance.now() - began;
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** What a data plane takes more with the volume open than before: of a new process, in which another one was open already. */
async function memoryOf(cairn: RealCairn, name: string): Promise<number> {
  await cairn.stop();
  await cairn.startServe();
  await cairn.attach('small');
  const before = memoryBytes(cairn.dataPlanePids());
  await cairn.attach(name);
  const bytes = memoryBytes(cairn.dataPlanePids()) - before;
  await cairn.detach(name);
  await cairn.detach('small');
  return bytes;
}

function filesOf(directory: string): string[] {
  const entries = readdirSync(directory, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}

type Measured = { name: string; points: { at: number; samples: number[] }[] };

function resultOf(lines: readonly Measured[], memory: Measured, emptyBytes: number): GrowthResult {
  const most = counts.at(-1) ?? 0;
  const axis = 'snapshots';
  return {
    charts: [
      { title: 'Opening', axis, unit: 'ms', lines },
      { title: 'Memory of the open volume', axis, unit: 'MiB', digits: 1, lines: [memory] },
    ],
    verdicts: [
      ...lines.map(({ name, points }) => ({
        asked: `opening with ${most} snapshots: ${name}`,
        measured: spreadOf(points.find(({ at }) => at === most)?.samples ?? [0]).median,
        unit: 'ms',
        most: openMsMax,
      })),
      {
        asked: `memory with ${most} snapshots`,
        measured: memory.points.at(-1)?.samples[0] ?? 0,
        unit: 'MiB',
        most: indexBytesMax / 2 ** 20,
      },
      { asked: 'memory of an empty one', measured: emptyBytes / 2 ** 20, unit: 'MiB', most: emptyBytesMax / 2 ** 20 },
    ],
    notes: [
      'Opening is an attach over REST; after a death it is what a client waits, with the start of the process. Memory is all that the data plane takes more (proportional set size), with the index.',
    ],
  };
}
