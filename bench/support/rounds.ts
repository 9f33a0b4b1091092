/** Interleaved rounds: in each round every contestant is measured once, so that a slow minute of the machine hits all alike. */
import type { Contestant, Ground, Target } from './contestant.js';
import { run } from './command.js';
import { sampleStacks, type Frame } from './flame.js';
import { runFio, type FioResult, type FioRun } from './fio.js';
import { runIscsiLoad } from './iscsi-load.js';
import { machineSeconds, processSeconds } from './processor-time.js';
import type { Case } from './question.js';

/** A thin volume is this many times larger than the written one, so that a run meets no block twice. */
const thinFactor = 4;

/** As many paths as one command line takes for sure. */
const filesAtOnce = 500;

export interface Sample {
  iops: number;
  megabytesPerSecond: number;
  /** Microseconds. */
  p50: number;
  p99: number;
  p999: number;
  /** Microseconds of CPU an operation: of the server's processes (for the limit, of fio, which does the I/O itself). */
  serverCpu: number;
  /** And of all that is neither server nor client: kernel workers, and whoever disturbs. */
  otherCpu: number;
}

export interface Measured {
  contestant: Contestant;
  commandLine: string;
  samples: Sample[];
}

export interface Plan {
  contestants: readonly Contestant[];
  ground: Ground;
  rounds: number;
  seconds: number;
  progress: (line: string) => void;
}

export async function measureCase(plan: Plan, asked: Case): Promise<Measured[]> {
  const [measured = []] = await measureCases(plan, [asked]);
  return measured;
}

/** Cases that are compared with each other: a round measures all of them, of everybody for whom it is `sensible`. */
export async function measureCases(
  plan: Plan,
  cases: readonly Case[],
  sensible: (contestant: Contestant, asked: Case) => boolean = () => true,
): Promise<Measured[][]> {
  const all = cases.map((asked) => {
    const able = plan.contestants.filter((contestant) => canDo(contestant, asked) && sensible(contestant, asked));
    return { asked, measured: able.map((contestant): Measured => ({ contestant, commandLine: '', samples: [] })) };
  });
  for (let round = 1; round <= plan.rounds; round += 1) {
    for (const { asked, measured } of all) {
      for (const entry of measured) {
        plan.progress(`${asked.name}, round ${round} of ${plan.rounds}: ${entry.contestant.name}`);
        entry.samples.push(await measureOnce(plan, asked, entry));
      }
    }
  }
  return all.map(({ measured }) => measured);
}

function canDo(contestant: Contestant, { snapshots = 0, snapshotBefore = false, workload }: Case): boolean {
  if (workload.flushEach === true && contestant.ignoresFlush === true) return false;
  if (snapshotBefore) return contestant.takesSnapshots === true;
  return snapshots === 0 || contestant.snapshotVolume !== undefined;
}

function measureOnce(plan: Plan, asked: Case, entry: Measured): Promise<Sample> {
  return onVolume(plan, asked, entry.contestant, (target, sizeBytes) => {
    entry.commandLine = target.commandLine;
    return sample(plan, asked, target, sizeBytes);
  });
}

/** On what the contestant spends its time in one more run. */
export function profileCase(plan: Plan, asked: Case, contestant: Contestant): Promise<Frame> {
  plan.progress(`${asked.name}, under perf: ${contestant.name}`);
  return onVolume(plan, asked, contestant, (target, sizeBytes) =>
    sampleStacks(target.pids, plan.ground.dataDirectory, async () => {
      await sample(plan, asked, target, sizeBytes);
    }),
  );
}

/** Lends a volume as the case asks for it, with nothing of it in the page cache. */
async function onVolume<Result>(
  plan: Plan,
  asked: Case,
  contestant: Contestant,
  use: (target: Target, sizeBytes: number) => Promise<Result>,
): Promise<Result> {
  const { ground } = plan;
  const isThin = asked.volume === 'thin';
  const sizeBytes = isThin ? ground.sizeBytes * thinFactor : ground.sizeBytes;
  const target = await volumeFor(contestant, asked, ground, sizeBytes);
  try {
    await settle(target);
    const remove = asked.snapshotBefore === true ? await target.snapshot?.() : undefined;
    const result = await use(target, sizeBytes);
    await remove?.();
    return result;
  } finally {
    if (isThin) await target.close();
  }
}

function volumeFor(contestant: Contestant, asked: Case, ground: Ground, sizeBytes: number): Promise<Target> {
  if (asked.volume === 'thin') return contestant.thinVolume(ground, sizeBytes);
  const { snapshots = 0 } = asked;
  if (snapshots > 0 && contestant.snapshotVolume) return contestant.snapshotVolume(ground, snapshots);
  return contestant.writtenVolume(ground);
}

/** Nothing of the volume left to write back, nothing of it in the page cache: no run profits or suffers from the one before. */
export async function settle(target: Target): Promise<void> {
  await forgetPages(target.files());
}

export async function forgetPages(files: readonly string[]): Promise<void> {
  for (let at = 0; at < files.length; at += filesAtOnce) await run('sync', files.slice(at, at + filesAtOnce));
  for (const file of files) {
    await run('dd', [`if=${file}`, 'of=/dev/null', 'iflag=nocache', 'count=0', 'status=none']);
  }
}

async function sample(plan: Plan, asked: Case, target: Target, sizeBytes: number): Promise<Sample> {
  const { workload } = asked;
  const before = { server: processSeconds(target.pids), machine: machineSeconds().busy };
  const fioRun = { workload, sizeBytes, seconds: plan.seconds };
  const result = await load(plan, target, fioRun, asked.volume === 'written');
  const server = processSeconds(target.pids) - before.server;
  const machine = machineSeconds().busy - before.machine;
  const perOperation = (seconds: number) => (seconds / result.operations) * 1e6;
  const { iops, megabytesPerSecond, p50, p99, p999, clientSeconds } = result;
  return {
    iops,
    megabytesPerSecond,
    p50,
    p99,
    p999,
    serverCpu: perOperation(target.pids.length === 0 ? clientSeconds : server),
    otherCpu: perOperation(Math.max(0, machine - server - clientSeconds)),
  };
}

function load({ ground }: Plan, target: Target, fioRun: FioRun, repeat: boolean): Promise<FioResult> {
  if (target.iscsi !== undefined)
    return runIscsiLoad(ground.dataDirectory, target.iscsi, fioRun.workload, fioRun.seconds);
  return runFio(ground.dataDirectory, target.fio, fioRun, repeat);
}
