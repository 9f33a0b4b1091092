/** Whoever serves a volume to the client, or stands for the physical limit. */
import type { FioTarget } from './fio.js';

export type Transport = 'unix' | 'tcp';

/** Where a contestant may put things, and how it is reached. */
export interface Ground {
  /** On the file system under test: files of several GiB. */
  dataDirectory: string;
  /** With a short path: sockets. */
  socketDirectory: string;
  transport: Transport;
  sizeBytes: number;
}

/** A volume that is served at this moment. */
export interface Target {
  fio: FioTarget;
  /** The URL of an iSCSI target, whose client is not fio: it has no engine for it. */
  iscsi?: string;
  /** The server's processes; none when fio itself does the I/O. */
  pids: number[];
  /** How the server was started, for the report. */
  commandLine: string;
  /** Files whose pages must not be in the page cache when a measurement starts. */
  files: () => string[];
  /** Takes a snapshot; resolves with what deletes it again and waits until its space is given back. */
  snapshot?: () => Promise<() => Promise<void>>;
  close: () => Promise<void>;
}

/** When a write is answered and what a read meets: only like may be compared with like. */
export type CachingMode = 'direct' | 'page cache' | 'write-through';

export interface Contestant {
  name: string;
  mode: CachingMode;
  /** What the contestant does with the page cache, in words. */
  caching: string;
  role: 'ours' | 'peer' | 'limit';
  /** Why the contestant cannot take part; `null` when it can. */
  missing: () => string | null;
  version: () => Promise<string>;
  /** A volume on which every block was written; the same one at every call. */
  writtenVolume: (ground: Ground) => Promise<Target>;
  /** A volume of this size on which no block was ever written. */
  thinVolume: (ground: Ground, sizeBytes: number) => Promise<Target>;
  /** Answers a FLUSH without doing it: it takes no part where one is measured. */
  ignoresFlush?: boolean;
  /** Whether its targets have `snapshot`. */
  takesSnapshots?: boolean;
  /** As `writtenVolume`, with this many snapshots; missing where there are none. */
  snapshotVolume?: (ground: Ground, snapshots: number) => Promise<Target>;
  /** Ends what `writtenVolume` and `snapshotVolume` left running. */
  close: () => Promise<void>;
}
