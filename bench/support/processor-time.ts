/** CPU time as the kernel accounts it: of processes with all their threads, and of the whole machine (proc(5)). */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

const ticksPerSecond = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));

/**
 * User and system seconds of these processes, including threads and children that have ended and io_uring's workers: some servers have
 * a process for each connection.
 */
export function processSeconds(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + ticksOf(pid), 0) / ticksPerSecond;
}

function ticksOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // The command is in parentheses and may hold blanks; utime, stime, cutime and cstime are fields 14 to 17 of all.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return fields.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks), 0);
}

export interface MachineSeconds {
  busy: number;
  /** Idle or waiting for a disk. */
  idle: number;
}

/** Seconds of all CPUs together since boot. */
export function machineSeconds(): MachineSeconds {
  const [first = ''] = readFileSync('/proc/stat', 'utf8').split('\n');
  const [user = 0, nice = 0, system = 0, idle = 0, iowait = 0, irq = 0, softirq = 0, steal = 0] = first
    .split(/\s+/)
    .slice(1)
    .map((ticks) => Number(ticks) / ticksPerSecond);
  return { busy: user + nice + system + irq + softirq + steal, idle: idle + iowait };
}
