/** What processes take of the memory, as the kernel accounts it (proc(5), smaps_rollup). */
import { readFileSync } from 'node:fs';

/** The processes' proportional share in bytes: their own pages, and of shared ones their part. */
export function memoryBytes(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + proportionalBytes(pid), 0);
}

function proportionalBytes(pid: number): number {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  return Number(/^Pss:\s+(\d+) kB$/m.exec(text)?.[1] ?? 0) * 1024;
}
