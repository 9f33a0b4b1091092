// The addon as a plain Node program loads it, and replicas to play with.
import { randomUUID } from 'node:crypto';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../..', import.meta.url));

/** Kept apart from src, which these children cannot import. */
const noLimits = { iops: null, iopsBurst: null, bandwidth: null, bandwidthBurst: null, burstSeconds: null };

export const native = createRequire(import.meta.url)('node-gyp-build')(root);

const mebibyte = 1024 * 1024;

export function newPlane(onEvent = () => {}) {
  return new native.DataPlane(
    {
      reactors: 1,
      bufferBytes: 4 * mebibyte,
      connectionsMax: 100,
      negotiationsMax: 50,
      iscsi: { connectionsMax: 100, loginsMax: 50 },
    },
    onEvent,
  );
}

/** Makes a replica beneath `parent`; resolves with what opens it. */
export async function newReplica(plane, parent, name) {
  const directory = join(parent, name);
  const ids = { volumeId: randomUUID(), replicaId: randomUUID() };
  await plane.createReplica({ directory, ...ids, sizeBytes: mebibyte, blockSize: 4096 });
  return { name, directory, cacheMode: 'none', limits: noLimits };
}

/** A new volume, open. */
export async function openNew(plane, parent, name) {
  const volume = await newReplica(plane, parent, name);
  await plane.openVolume(volume);
  return volume;
}

export function exportOf(volume) {
  return { name: volume, description: '', readOnly: false, decrypted: false, volume, handover: null };
}

export function check(condition, what) {
  if (!condition) throw new Error(`not so: ${what}`);
}

/** Resolves with the code of the error that `promise` rejects with. */
export async function codeOf(promise) {
  try {
    await promise;
  } catch (error) {
    check(error instanceof Error && typeof error.code === 'string', `an Error with a code: ${String(error)}`);
    return error.code;
  }
  return 'resolved';
}
