/**
 * `npm run bench`: Cairn beside other NBD servers and the physical limit, on the same file system, by the same client (fio).
 * Each question is a file of this folder; support/ holds what they share.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { question as cipher } from './cipher.js';
import { question as connectionGrowth } from './connection-growth.js';
import { question as connections } from './connections.js';
import { question as depth1 } from './depth1.js';
import { question as encryptedVolume } from './encrypted-volume.js';
import { question as firstWriteThin } from './first-write-thin.js';
import { question as iscsi } from './iscsi.js';
import { question as mergeInterference } from './merge-interference.js';
import { question as mixed7030 } from './mixed-70-30.js';
import { question as openTime } from './open-time.js';
import { question as random4kDepth32 } from './random-4k-depth32.js';
import { question as sequential } from './sequential.js';
import { question as snapshotGrowth } from './snapshot-growth.js';
import { question as snapshotStall } from './snapshot-stall.js';
import { question as snapshots } from './snapshots.js';
import {
  cairn,
  cairnEncrypted,
  cairnIscsi,
  cairnIscsiWriteback,
  cairnNbdTcp,
  cairnWriteback,
  cairnWritethrough,
} from './support/cairn.js';
import { isInstalled } from './support/command.js';
import type { Contestant, Ground } from './support/contestant.js';
import { growthTables, type Grown } from './support/growth-report.js';
import { whyNoFlameGraph } from './support/flame.js';
import type { GrowthQuestion } from './support/growth.js';
import { describeMachine, disturbances, isOnTmpfs } from './support/machine.js';
import { nbdServer } from './support/nbd-server.js';
import { nbdkit, nbdkitPageCache } from './support/nbdkit.js';
import { parseOptions, usage, type Options } from './support/options.js';
import { qemuNbd, qemuNbdLuks, qemuNbdNative, qemuNbdQcow2, qemuNbdWritethrough } from './support/qemu-nbd.js';
import type { Question } from './support/question.js';
import { rawFile } from './support/raw-file.js';
import { tableOf, writeReport, type CaseResult, type Report } from './support/report.js';
import { measureCase, profileCase, type Plan } from './support/rounds.js';
import { tgtAio, tgtRdwr } from './support/tgt.js';
import { question as volumeCount } from './volume-count.js';
import { question as volumeSize } from './volume-size.js';
import { question as writeFlush } from './write-flush.js';

const questions = [
  random4kDepth32,
  connections,
  mixed7030,
  firstWriteThin,
  depth1,
  sequential,
  writeFlush,
  snapshots,
  encryptedVolume,
  iscsi,
];
const growthQuestions = [
  snapshotGrowth,
  connectionGrowth,
  volumeSize,
  volumeCount,
  openTime,
  snapshotStall,
  mergeInterference,
  cipher,
];
const usual = [rawFile, cairn, nbdkit, qemuNbd, nbdkitPageCache];
const others = [
  cairnEncrypted,
  cairnWriteback,
  cairnWritethrough,
  cairnIscsi,
  cairnNbdTcp,
  cairnIscsiWriteback,
  tgtAio,
  tgtRdwr,
  qemuNbdLuks,
  qemuNbdNative,
  qemuNbdWritethrough,
  qemuNbdQcow2,
  nbdServer,
];

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** Something that the user can mend: told without a stack. */
class Refused extends Error {}

async function main(): Promise<void> {
  const args = process.argv.slice(2);
  if (args.includes('--help')) return console.log(usage);
  const options = parseOptions(args, root);
  const disturbed = await checkMachine(options);
  const { present, missing } = choose(options);
  for (const what of missing) console.log(`Left out: ${what}.`);
  const report = await emptyReport(options, present, disturbed, missing);
  const asked = selected(options);
  // After each question: a run that is ended early has measured what it has measured.
  const write = () => writeReport(join(root, 'bench/results'), report);
  await onGround(options, present, async (ground) => {
    const plan = planOf(options, present, ground);
    for (const question of asked.points) {
      report.results.push(...(await measureQuestion(question, planFor(question, plan, options), options)));
      write();
    }
    for (const question of asked.growth) {
      report.grown.push(await measureGrowth(question, plan, options));
      write();
    }
  });
  console.log(`\n${write().join('\n')}`);
}

async function checkMachine(options: Options): Promise<string[]> {
  if (!isInstalled('fio')) throw new Refused('fio is not installed: apt-get install fio');
  const noFlame = options.flame ? whyNoFlameGraph() : null;
  if (noFlame !== null) throw new Refused(noFlame);
  mkdirSync(options.directory, { recursive: true });
  if (isOnTmpfs(options.directory))
    throw new Refused(`${options.directory} is in memory: choose a --directory on a disk.`);
  const disturbed = await disturbances();
  if (disturbed.length > 0 && !options.force) {
    throw new Refused(`The machine is not quiet: ${disturbed.join(', ')}. Wait, or measure anyway with --force.`);
  }
  return disturbed;
}

function choose(options: Options): { present: Contestant[]; missing: string[] } {
  const { contestants } = options;
  const isNamed = ({ name }: Contestant) => contestants.some((part) => name.toLowerCase().includes(part));
  const { points, growth } = selected(options);
  const also = [...points, ...growth].flatMap(({ only }) => only ?? []);
  const chosen = [...usual, ...others].filter((contestant) =>
    contestants.length === 0 ? usual.includes(contestant) || also.includes(contestant.name) : isNamed(contestant),
  );
  const missing = chosen.flatMap((contestant) => {
    const reason = contestant.missing();
    return reason === null ? [] : [`${contestant.name}: ${reason}`];
  });
  return { present: chosen.filter((contestant) => contestant.missing() === null), missing };
}

interface Asked {
  points: Question[];
  growth: GrowthQuestion[];
}

function selected({ only }: Options): Asked {
  const names = [...questions, ...growthQuestions].map(({ name }) => name);
  const unknown = only.filter((name) => !names.includes(name));
  if (unknown.length > 0) throw new Refused(`No such question: ${unknown.join(', ')}. There are: ${names.join(', ')}.`);
  const isAsked = ({ name }: { name: string }) => only.length === 0 || only.includes(name);
  return { points: questions.filter(isAsked), growth: growthQuestions.filter(isAsked) };
}

async function emptyReport(
  options: Options,
  present: readonly Contestant[],
  disturbed: string[],
  missing: string[],
): Promise<Report> {
  const versions = await Promise.all(present.map(async (contestant) => [contestant.name, await contestant.version()]));
  const { rounds, seconds, sizeBytes, transport, only, contestants } = options;
  const chosen = {
    ...(only.length > 0 && { only: only.join(',') }),
    ...(contestants.length > 0 && { contestants: contestants.join(',') }),
  };
  return {
    date: new Date().toISOString(),
    machine: await describeMachine(options.directory),
    versions: Object.fromEntries(versions) as Record<string, string>,
    options: { rounds, seconds, size: sizeBytes / 2 ** 30, transport, ...chosen },
    disturbances: disturbed,
    missing,
    results: [],
    grown: [],
  };
}

/** Lends directories to `use`; whatever happens, ends the servers and removes the files. */
async function onGround(
  options: Options,
  contestants: readonly Contestant[],
  use: (ground: Ground) => Promise<void>,
): Promise<void> {
  const { directory, transport, sizeBytes } = options;
  const dataDirectory = mkdtempSync(join(directory, 'run-'));
  const socketDirectory = mkdtempSync(join(tmpdir(), 'cairn-bench-'));
  const remove = () => {
    for (const path of [dataDirectory, socketDirectory]) rmSync(path, { recursive: true, force: true });
  };
  endOnSignals(remove);
  try {
    await use({ dataDirectory, socketDirectory, transport, sizeBytes });
  } finally {
    await Promise.all(contestants.map((contestant) => contestant.close()));
    remove();
  }
}

/** Ctrl-C too leaves nothing behind: servers end when this process exits, and then their files go. */
function endOnSignals(remove: () => void): void {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => {
      process.once('exit', remove);
      process.exit(1);
    });
  }
}

function planOf({ rounds, seconds }: Options, contestants: readonly Contestant[], ground: Ground): Plan {
  const isTerminal = process.stdout.isTTY;
  const progress = (line: string) => {
    if (isTerminal) process.stdout.write(`\r\u001B[K${line}`);
  };
  return { contestants, ground, rounds, seconds, progress };
}

async function measureQuestion(question: Question, plan: Plan, { flame }: Options): Promise<CaseResult[]> {
  const results: CaseResult[] = [];
  for (const one of question.cases) {
    const result: CaseResult = { question, asked: one, measured: await measureCase(plan, one) };
    if (flame && plan.contestants.includes(cairn)) result.stacks = await profileCase(plan, one, cairn);
    plan.progress('');
    console.log(`\n${question.title}: ${one.name}\n\n${tableOf(result)}`);
    results.push(result);
  }
  return results;
}

/** Those that take part unless others are named. */
function usualPlan(plan: Plan, { contestants }: Options): Plan {
  if (contestants.length > 0) return plan;
  return { ...plan, contestants: plan.contestants.filter((contestant) => usual.includes(contestant)) };
}

/** Those that the question names, in its order. */
function planFor({ only }: { only?: readonly string[] }, plan: Plan, options: Options): Plan {
  if (!only) return usualPlan(plan, options);
  const contestants = only.flatMap((wanted) => plan.contestants.filter(({ name }) => name === wanted));
  return { ...plan, contestants };
}

async function measureGrowth(question: GrowthQuestion, plan: Plan, options: Options): Promise<Grown> {
  const result = await question.measure(planFor(question, plan, options));
  plan.progress('');
  console.log(`\n${question.title}\n\n${growthTables(result)}`);
  return { question, result };
}

main().catch((error: unknown) => {
  const isPlain = error instanceof Refused || error instanceof TypeError;
  console.error(isPlain ? error.message : error);
  process.exitCode = 1;
});
