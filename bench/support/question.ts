/** What a benchmark asks: a question has cases, a case is one workload on one kind of volume. */

/** What the client does, in fio's terms. */
export interface Workload {
  pattern: 'randread' | 'randwrite' | 'randrw' | 'read' | 'write';
  /** Of `randrw`: how many of a hundred are reads. */
  readPercent?: number;
  blockBytes: number;
  /** Requests in flight on each connection. */
  depth: number;
  connections: number;
  /** A FLUSH after every write; an operation is then the pair. */
  flushEach?: boolean;
  /** One FLUSH at the end, inside the measured time: what the page cache postponed is paid for. */
  flushAtEnd?: boolean;
}

/** What Cairn is asked to reach: beside the fastest peer of its caching mode, the fastest of all, the raw file, or a volume of its own, plain or by NBD. */
export type Ask =
  /** `orOfRaw`: so much of the raw file's rate is enough, where the multiple of the peer's would be more. */
  | { figure: 'rate'; of: AskedOf; least: number; orOfRaw?: number }
  /** Server CPU an operation, as a share of the other's. */
  | { figure: 'cpu'; of: AskedOf; most: number }
  /** Microseconds above the other's. */
  | { figure: 'p50'; of: AskedOf; most: number };

export type AskedOf = 'best alike' | 'best of all' | 'raw' | 'plain' | 'own nbd';

/** Of many small random requests on a written volume. */
export const asksOfRandom: readonly Ask[] = [
  { figure: 'rate', of: 'best alike', least: 1.5, orOfRaw: 0.95 },
  { figure: 'cpu', of: 'best alike', most: 0.5 },
];

export interface Case {
  name: string;
  workload: Workload;
  asks?: readonly Ask[];
  /** `written`: every block was written before. `thin`: new for every measurement, no block was ever written. */
  volume: 'written' | 'thin';
  /** Of a written volume: that so many snapshots were taken, a share of its blocks written anew after each. */
  snapshots?: number;
  /** One is taken directly before each measurement, and deleted after it. */
  snapshotBefore?: boolean;
}

export interface Question {
  /** The file's name without `.ts`; what `--only` selects. */
  name: string;
  title: string;
  /** Names of the contestants that take part, in the report's order; by default the usual ones. */
  only?: readonly string[];
  cases: Case[];
}

/** Whether a larger MB/s or a larger IOPS is what the case is about. */
export function isAboutThroughput({ blockBytes }: Workload): boolean {
  return blockBytes >= 128 * 1024;
}
