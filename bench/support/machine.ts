/** The machine under the benchmark: what it is, and whether it is quiet enough to measure on. */
import { readdirSync, readFileSync, statfsSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { machineSeconds } from './processor-time.js';
import { run } from './command.js';

const observedMs = 2_000;
/** Of one CPU, and of the disk's time. Twice what an idle machine shows. */
const busyCpuMax = 0.1;
const busyDiskMax = 0.05;
const tmpfsMagic = 0x01021994;

export interface MachineDescription {
  cpu: string;
  cpus: number;
  memoryGib: number;
  kernel: string;
  node: string;
  fileSystem: string;
}

export async function describeMachine(directory: string): Promise<MachineDescription> {
  const [cpu] = cpus();
  const fileSystem = await run('findmnt', ['--noheadings', '--output', 'FSTYPE,SOURCE,OPTIONS', '--target', directory]);
  return {
    cpu: cpu?.model.trim() ?? 'unknown',
    cpus: cpus().length,
    memoryGib: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    node: process.version,
    fileSystem: fileSystem.trim().replaceAll(/\s+/g, ' '),
  };
}

/** Direct I/O needs a disk. */
export function isOnTmpfs(directory: string): boolean {
  return statfsSync(directory).type === tmpfsMagic;
}

/** What makes the machine unfit at this moment, from watching it for two seconds; empty when nothing does. */
export async function disturbances(): Promise<string[]> {
  const before = { cpu: machineSeconds().busy, disk: busiestDiskSeconds() };
  await delay(observedMs);
  const seconds = observedMs / 1000;
  const cpu = (machineSeconds().busy - before.cpu) / seconds;
  const disk = (busiestDiskSeconds() - before.disk) / seconds;
  return [
    ...(cpu > busyCpuMax ? [`other programs use ${percent(cpu)} of a CPU`] : []),
    ...(disk > busyDiskMax ? [`a disk is busy ${percent(disk)} of the time`] : []),
  ];
}

/** The time that the busiest disk spent on I/O since boot: column 10 of its `stat`, milliseconds. */
function busiestDiskSeconds(): number {
  const times = readdirSync('/sys/block').map((disk) => {
    const columns = readFileSync(`/sys/block/${disk}/stat`, 'utf8').trim().split(/\s+/);
    return Number(columns[9]) / 1000;
  });
  return Math.max(0, ...times);
}

export function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}
