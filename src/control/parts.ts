/** What the operations and the reconciler of one node share. */
import type { NodeEngine } from '../engine/node-engine.js';
import type { EventLog } from './event-log.js';
import type { KeyedMutex } from './keyed-mutex.js';
import type { Log } from './log.js';
import type { Records } from './records.js';
import type { VolumeStatuses } from './volume-statuses.js';

export interface ControlParts {
  records: Records;
  engine: NodeEngine;
  /** By the volume's name. Whoever changes a volume, its record or what runs of it, does so inside. */
  mutex: KeyedMutex;
  statuses: VolumeStatuses;
  events: EventLog;
  log: Log;
  now: () => Date;
  /** Something was left undone for the reconciler, because of this error. */
  leftUndone: (volume: string, error: unknown) => void;
}
