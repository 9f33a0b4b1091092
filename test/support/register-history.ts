/**
 * Decides whether what was read from one register, while others wrote it, can have happened one operation after the other.
 *
 * Values other than 0 are written once. Those are decided exactly (Gibbons and Korach, "Testing Shared Memories", 1997): a write and
 * its reads are a zone from the first end to the last beginning; zones that run forward must not overlap, and one that runs backward
 * must not lie inside one that runs forward. A read of 0, which many operations may write, must be explained by one of them that
 * nothing has surely replaced.
 */

/** In ticks of a clock that never stands still. A write whose answer never came ends at `Infinity`: perhaps it happened. */
export interface RegisterOperation {
  write: boolean;
  value: number;
  began: number;
  ended: number;
}

interface Zone {
  value: number;
  firstEnd: number;
  lastBeginning: number;
}

/** What is wrong with the history of a register that held `initial`, or `null`. */
export function registerViolation(initial: number, history: readonly RegisterOperation[]): string | null {
  const first: RegisterOperation = { write: true, value: initial, began: 0, ended: 0 };
  const operations = [first, ...history];
  return unexplainedRead(operations) ?? conflictOfZones(zonesOf(operations));
}

/** For values by time: the greatest of those up to a moment. */
class GreatestUntil {
  private readonly entries: { time: number; value: number }[] = [];

  add(time: number, value: number): void {
    this.entries.push({ time, value });
  }

  finish(): void {
    this.entries.sort((a, b) => a.time - b.time);
    let greatest = -1;
    for (const entry of this.entries) greatest = entry.value = Math.max(greatest, entry.value);
  }

  /** Of the entries with a time below `end`; -1 if there are none. */
  before(end: number): number {
    let [low, high] = [0, this.entries.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.entries[middle]?.time ?? 0) < end) low = middle + 1;
      else high = middle;
    }
    return this.entries[low - 1]?.value ?? -1;
  }
}

function unexplainedRead(operations: readonly RegisterOperation[]): string | null {
  const writes = new Map<number, RegisterOperation>();
  const beginningOfValues = new GreatestUntil(); // by end: the last beginning of a write that was over by then
  const beginningOfZeros = new GreatestUntil();
  const endOfZeros = new GreatestUntil(); // by beginning
  for (const operation of operations) {
    if (!operation.write) continue;
    (operation.value === 0 ? beginningOfZeros : beginningOfValues).add(operation.ended, operation.began);
    if (operation.value === 0) endOfZeros.add(operation.began, operation.ended);
    else writes.set(operation.value, operation);
  }
  for (const greatest of [beginningOfValues, beginningOfZeros, endOfZeros]) greatest.finish();
  const unexplained = operations.find((read) => {
    if (read.write) return false;
    if (read.value === 0) return beginningOfValues.before(read.began) > endOfZeros.before(read.ended);
    const write = writes.get(read.value);
    if (write === undefined || write.began > read.ended) return true;
    return beginningOfZeros.before(read.began) > write.ended; // replaced by another value: that the zones find
  });
  if (unexplained === undefined) return null;
  const { value, began, ended } = unexplained;
  return `the read of ${value} from ${began} to ${ended} has no write that explains it`;
}

function zonesOf(operations: readonly RegisterOperation[]): Zone[] {
  const zones = new Map<number, Zone>();
  for (const { value, began, ended } of operations) {
    if (value === 0) continue;
    const zone = zones.get(value);
    if (zone === undefined) zones.set(value, { value, firstEnd: ended, lastBeginning: began });
    else {
      zone.firstEnd = Math.min(zone.firstEnd, ended);
      zone.lastBeginning = Math.max(zone.lastBeginning, began);
    }
  }
  return [...zones.values()].sort((a, b) => a.firstEnd - b.firstEnd);
}

function conflictOfZones(zones: readonly Zone[]): string | null {
  const forward: Zone[] = [];
  for (const zone of zones) {
    if (zone.firstEnd >= zone.lastBeginning) continue;
    const last = forward.at(-1);
    if (last && last.lastBeginning > zone.firstEnd) return conflict(last, zone);
    forward.push(zone);
  }
  for (const zone of zones) {
    if (zone.firstEnd < zone.lastBeginning) continue;
    const around = lastThatBeginsBefore(forward, zone.lastBeginning);
    if (around && around.lastBeginning > zone.firstEnd) return conflict(around, zone);
  }
  return null;
}

function lastThatBeginsBefore(forward: readonly Zone[], time: number): Zone | undefined {
  let [low, high] = [0, forward.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((forward[middle]?.firstEnd ?? 0) < time) low = middle + 1;
    else high = middle;
  }
  return forward[low - 1];
}

function conflict(a: Zone, b: Zone): string {
  return `writes ${a.value} and ${b.value} were each seen after the other`;
}
