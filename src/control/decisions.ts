/** What is to be done about one volume, from what is wanted and what is. Pure: it looks at nothing else and changes nothing. */
import { areLimitsEqual, noLimits, type Limits } from '../engine/native.js';
import type { Frontend } from '../engine/node-engine.js';
import { replicaBytes, type VolumeRecord } from './records.js';

export interface Situation {
  /** `null`: there is no such volume. */
  wanted: Pick<VolumeRecord, 'state' | 'frontend' | 'sizeBytes' | 'source' | 'limits' | 'encryption'> | null;
  /** Snapshots of it whose creation or deletion is half done. */
  unsettledSnapshots: number;
  /** `null`: it is not attached anywhere. */
  running: { frontend: Frontend; sizeBytes: number; limits: Limits } | null;
  /** Whether this service attached it or took it over: only then it can tell where clients reach it. */
  isKnown: boolean;
}

export type Action =
  | { kind: 'detach' }
  | { kind: 'attach'; frontend: Frontend }
  | { kind: 'finish-create' }
  | { kind: 'finish-delete' }
  | { kind: 'resize' }
  | { kind: 'limit' }
  | { kind: 'settle-snapshots' }
  | { kind: 'flatten' }
  | { kind: 'reencrypt' }
  | { kind: 'rotate-key' };

/** In the order in which to do it: serving clients comes before tidying up. */
export function decide({ wanted, unsettledSnapshots, running, isKnown }: Situation): Action[] {
  const stray: Action[] = running ? [{ kind: 'detach' }] : [];
  if (!wanted) return stray;
  if (wanted.state === 'deleting') return [{ kind: 'finish-delete' }];
  if (wanted.state === 'creating') return [...stray, { kind: 'finish-create' }];
  const unfinished: Action[] = [
    ...only(unsettledSnapshots > 0, { kind: 'settle-snapshots' }),
    ...only(wanted.source?.state === 'flattening', { kind: 'flatten' }),
    ...only((wanted.encryption?.reencryption ?? null) !== null, { kind: 'reencrypt' }),
    ...only(isKeyRotated(wanted.encryption), { kind: 'rotate-key' }),
  ];
  if (wanted.frontend === null) return [...stray, ...unfinished];
  const isServed = running?.frontend === wanted.frontend && isKnown;
  const isTooSmall = running !== null && running.sizeBytes < replicaBytes(wanted);
  const isLimitedOtherwise = running !== null && !areLimitsEqual(running.limits, wanted.limits ?? noLimits);
  return [
    ...only(!isServed, { kind: 'attach', frontend: wanted.frontend }),
    ...only(isTooSmall, { kind: 'resize' }),
    ...only(isLimitedOtherwise, { kind: 'limit' }),
    ...unfinished,
  ];
}

function isKeyRotated(encryption: VolumeRecord['encryption']): boolean {
  const { next = null, previous = null } = encryption ?? {};
  return next !== null || previous !== null;
}

function only(isNeeded: boolean, action: Action): Action[] {
  return isNeeded ? [action] : [];
}
