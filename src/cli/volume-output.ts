/** Volumes as tables and pages for people. */
import type { Output } from '../api/operations.js';
import { limitsText } from '../api/limits.js';
import { formatSize } from '../api/size.js';
import { percent } from './following.js';
import { absent, detailsOf, tableOf } from './output.js';

export type Volume = Output<'getVolume'>;
export type Scrub = NonNullable<Volume['scrub']>;

export function volumeTable(volumes: readonly Volume[]): string {
  const head = ['NAME', 'SIZE', 'ALLOCATED', 'STATE', 'FRONTEND', 'CLIENTS', 'SNAPSHOTS', 'LIMITS', 'URI'];
  const rows = volumes.map((volume) => [
    volume.name,
    formatSize(volume.size),
    sizeOrAbsent(volume.allocatedBytes),
    volume.state,
    volume.frontend ?? absent,
    String(volume.clients),
    String(volume.snapshotCount),
    limitsText(volume.limits) ?? absent,
    volume.uris[0] ?? absent,
  ]);
  return tableOf(head, rows);
}

export function volumeDetails(volume: Volume): string {
  return detailsOf([
    ['Name', volume.name],
    ['Id', volume.id],
    ['Size', `${formatSize(volume.size)} (${volume.size} bytes)`],
    ['Allocated', sizeOrAbsent(volume.allocatedBytes)],
    ['Block size', `${volume.blockSize} bytes`],
    ['Cache mode', volume.cacheMode],
    ['State', stateOf(volume)],
    ['Frontend', frontendOf(volume)],
    ['Clients', String(volume.clients)],
    ['Snapshots', String(volume.snapshotCount)],
    ['Limits', limitsText(volume.limits) ?? absent],
    ['Encryption', encryptionOf(volume)],
    ['Source', sourceOf(volume)],
    ['Scrub', volume.scrub === null ? absent : scrubText(volume.scrub)],
    ['Created', volume.created],
    ['URIs', volume.uris.join('\n') || absent],
  ]);
}

/** In a sentence, and a line for each finding. */
export function scrubText(scrub: Scrub): string {
  const { state, progress, ended, blocksChecked, blocksDamaged, blocksUnverified, repaired, findings } = scrub;
  const when = state === 'running' ? `running, ${percent(progress)}` : `${state}${ended === null ? '' : ` ${ended}`}`;
  const counts = [
    `${blocksChecked} blocks checked`,
    `${blocksDamaged} damaged`,
    ...(repaired > 0 ? [`${repaired} repaired`] : []),
    ...(blocksUnverified > 0 ? [`${blocksUnverified} without checksum`] : []),
  ];
  return [`${when}: ${counts.join(', ')}`, ...findings].join('\n');
}

export function sizeOrAbsent(bytes: number | null): string {
  return bytes === null ? absent : formatSize(bytes);
}

function stateOf({ state, reason, deletion }: Volume): string {
  if (reason !== null) return `${state}: ${reason}`;
  return deletion === null ? state : `${state}, ${percent(deletion.progress)}`;
}

function frontendOf({ frontend, raw, readOnly }: Volume): string {
  if (frontend === null) return absent;
  return [
    ...(frontend === 'both' ? ['nbd', 'iscsi'] : [frontend]),
    ...(raw ? ['raw'] : []),
    ...(readOnly ? ['read-only'] : []),
  ].join(', ');
}

function encryptionOf({ encryption }: Volume): string {
  if (encryption === null) return absent;
  const { provider, key, allowDiscards, reencryption } = encryption;
  const change = reencryption === null ? '' : `, new volume key ${workText(reencryption)}`;
  return `LUKS2, key ${key} of ${provider}${allowDiscards ? '' : ', no discards'}${change}`;
}

/** `42 %`, and why it waits. */
function workText({ progress, problem }: { progress: number; problem: string | null }): string {
  return `${percent(progress)}${problem === null ? '' : `, which waits: ${problem}`}`;
}

function sourceOf({ source, flatten }: Volume): string {
  if (source === null) return absent;
  const name = `${source.volume}@${source.snapshot}`;
  if (flatten !== null) return `${name}, flattening ${workText(flatten)}`;
  return source.linked ? `${name}, shares data with it` : `${name}, flattened`;
}
