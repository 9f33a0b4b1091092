/** Processes by pid: whether they run, how they end, and which ones belong to a directory. */
import { readdirSync, readFileSync } from 'node:fs';
import { eventually } from './real-deadline.js';

/** A zombie has ended: nobody may have waited for it yet. */
export function isRunning(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.charAt(stat.lastIndexOf(')') + 2) !== 'Z';
  } catch {
    return false;
  }
}

export async function endProcess(pid: number, signal: NodeJS.Signals, timeoutMs: number): Promise<void> {
  if (!isRunning(pid)) return;
  process.kill(pid, signal);
  await eventually(`process ${pid} ended by ${signal}`, () => !isRunning(pid), timeoutMs);
}

/** Running processes whose command line has all these texts. */
export function processesNaming(...texts: string[]): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => isRunning(pid) && texts.every((text) => commandLineOf(pid).includes(text)));
}

function commandLineOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
  } catch {
    return '';
  }
}
