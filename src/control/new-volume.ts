/** The record of a volume to be made: empty, or a clone of a snapshot. */
import { randomUUID } from 'node:crypto';
import { blockSizeDefault, cacheModeDefault, sizeMaxBytes, sizeStepBytes, type NewVolume } from '../api/schemas.js';
import { formatSize, parseSize } from '../api/size.js';
import { CairnError } from '../errors.js';
import { noLimits } from '../engine/native.js';
import { keyRefOf } from './key-refs.js';
import { changedLimits } from './limits.js';
import type { Pools } from './pools.js';
import type { Encryption, SnapshotRecord, VolumeRecord } from './records.js';

/** As much as cryptsetup leaves by default. */
const luksHeaderBytes = 16 * 2 ** 20;

/** What a clone is made from, both as they are. */
export interface CloneParent {
  volume: VolumeRecord;
  snapshot: SnapshotRecord;
}

export async function newVolumeRecord(request: NewVolume, pools: Pools, now: Date): Promise<VolumeRecord> {
  const { size, blockSize = blockSizeDefault, cacheMode = cacheModeDefault } = request;
  if (size === undefined)
    throw new CairnError('invalid-request', 'A volume that is no clone needs a size.', { field: 'size' });
  const sizeBytes = volumeSize(size);
  const limits = changedLimits(noLimits, request.limits ?? {}, 'limits.');
  const encryption = request.encryption && newEncryption(request.name, request.encryption);
  if (encryption && sizeBytes + encryption.headerBytes > sizeMaxBytes)
    throw new CairnError('invalid-request', 'An encrypted volume has at most 64TiB less 16MiB, for its header.', {
      field: 'size',
    });
  return {
    ...identity(request.name, now),
    pool: await pools.choose(),
    sizeBytes,
    blockSize,
    cacheMode,
    limits,
    ...(encryption && { encryption }),
    ...(request.shared && { shared: true }),
  };
}

/** Its passphrase is the key of the volume's name unless another one is asked for. */
function newEncryption(volume: string, request: NonNullable<NewVolume['encryption']>): Encryption {
  const { provider, key = volume, allowDiscards = true } = request;
  return {
    ...keyRefOf({ ...(provider && { provider }), key }, 'encryption.key'),
    allowDiscards,
    headerBytes: luksHeaderBytes,
  };
}

/** In its parent's pool, for they share files; like its parent in all that the request does not say. */
export function clonedVolumeRecord(request: NewVolume, parent: CloneParent, now: Date): VolumeRecord {
  const { volume, snapshot } = parent;
  const { pool, blockSize, cacheMode, encryption, access, shared = false } = volume;
  if (request.encryption)
    throw new CairnError('invalid-request', `A clone is encrypted as its parent is. Leave encryption out.`, {
      field: 'encryption',
    });
  if (request.blockSize !== undefined && request.blockSize !== blockSize)
    throw new CairnError('invalid-request', `A clone has its parent's block size, ${blockSize}. Leave blockSize out.`, {
      field: 'blockSize',
    });
  return {
    ...identity(request.name, now),
    pool,
    sizeBytes: cloneSize(request.size, parent),
    blockSize,
    cacheMode: request.cacheMode ?? cacheMode,
    limits: changedLimits(volume.limits ?? noLimits, request.limits ?? {}, 'limits.'),
    ...(encryption && { encryption: { ...encryption, reencryption: null, next: null, previous: null } }),
    ...((request.shared ?? shared) && { shared: true }),
    // It is the parent's data that initiators would get.
    ...(access && { access }),
    source: {
      volume: volume.name,
      volumeId: volume.id,
      snapshot: snapshot.name,
      snapshotId: snapshot.id,
      state: 'linked',
    },
  };
}

/** Bytes; throws `invalid-request` naming `size`. */
export function volumeSize(size: number | string): number {
  const sizeBytes = parseSize(size);
  if (sizeBytes >= sizeStepBytes && sizeBytes <= sizeMaxBytes && sizeBytes % sizeStepBytes === 0) return sizeBytes;
  throw new CairnError(
    'invalid-request',
    `A volume of ${sizeBytes} bytes is not possible: choose a multiple of ${sizeStepBytes} from ${sizeStepBytes} to ${sizeMaxBytes} (64TiB).`,
    { field: 'size' },
  );
}

/** The snapshot's, or a larger one that is asked for. */
function cloneSize(size: NewVolume['size'], { volume, snapshot }: CloneParent): number {
  const present = snapshot.sizeBytes ?? volume.sizeBytes;
  if (size === undefined) return present;
  const sizeBytes = volumeSize(size);
  if (sizeBytes >= present) return sizeBytes;
  const what = `its snapshot ${volume.name}@${snapshot.name} (${formatSize(present)}, ${present} bytes)`;
  throw new CairnError('invalid-request', `A clone cannot be smaller than ${what}.`, { field: 'size' });
}

function identity(name: string, now: Date) {
  const states = { state: 'creating', frontend: null } as const;
  return { name, id: randomUUID(), replicaId: randomUUID(), ...states, created: now.toISOString() };
}
