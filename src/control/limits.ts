/** Which limits a volume gets when some are to change. */
import type { LimitsChange } from '../api/schemas.js';
import { bandwidthMaxBytes, bandwidthMinBytes, burstSecondsDefault } from '../api/schemas.js';
import { parseSize } from '../api/size.js';
import type { Limits } from '../engine/native.js';
import { CairnError } from '../errors.js';

/**
 * What is left out stays; a burst goes with the limit that it exceeds. Throws `invalid-request` for a burst without a
 * limit and the like; `path` is where the fields are, e.g. `limits.`.
 */
export function changedLimits(before: Limits, change: LimitsChange, path = ''): Limits {
  const iops = given(change.iops, before.iops);
  const bandwidth = given(rate(change.bandwidth, `${path}bandwidth`), before.bandwidth);
  const iopsBurst = given(change.iopsBurst, iops === null ? null : before.iopsBurst);
  const bandwidthBurst = given(
    rate(change.bandwidthBurst, `${path}bandwidthBurst`),
    bandwidth === null ? null : before.bandwidthBurst,
  );
  checkBurst(`${path}iops`, iops, iopsBurst);
  checkBurst(`${path}bandwidth`, bandwidth, bandwidthBurst);
  const hasBurst = iopsBurst !== null || bandwidthBurst !== null;
  if (!hasBurst && typeof change.burstSeconds === 'number')
    throw invalid(`${path}burstSeconds`, `there is no burst that could last. Set iopsBurst or bandwidthBurst too.`);
  const burstSeconds = hasBurst ? (given(change.burstSeconds, before.burstSeconds) ?? burstSecondsDefault) : null;
  return { iops, iopsBurst, bandwidth, bandwidthBurst, burstSeconds };
}

function given<Value>(wanted: Value | undefined, before: Value): Value {
  return wanted === undefined ? before : wanted;
}

function rate(value: number | string | null | undefined, field: string): number | null | undefined {
  if (value === null || value === undefined) return value;
  const bytes = parseSize(value, field);
  if (bytes >= bandwidthMinBytes && bytes <= bandwidthMaxBytes) return bytes;
  throw invalid(
    field,
    `${bytes} bytes a second are not possible. Choose ${bandwidthMinBytes} (4KiB) to ${bandwidthMaxBytes} (1TiB).`,
  );
}

function checkBurst(field: string, limit: number | null, burst: number | null): void {
  if (burst === null) return;
  if (limit === null)
    throw invalid(`${field}Burst`, `a burst exceeds a limit, and ${field} is none. Set ${field} too.`);
  if (burst <= limit)
    throw invalid(`${field}Burst`, `${burst} is not more than ${field}, ${limit}. Choose more, or null for no bursts.`);
}

function invalid(field: string, why: string): CairnError {
  return new CairnError('invalid-request', `${field}: ${why}`, { field });
}
