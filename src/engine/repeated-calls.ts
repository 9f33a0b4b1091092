/** What was done by an earlier call whose answer was lost. */
import { hasCode } from '../errors.js';
import { CacheMode } from '../generated/cairn/dataplane/v1/data_plane_pb.js';
import type { NewReplicaSpec } from './node-engine.js';
import type { DataPlaneCalls } from './supervised-process.js';

/** Whether the directory holds the replica of this very volume: then an earlier call made it. */
export async function holdsReplica(
  calls: DataPlaneCalls,
  { directory, volumeId, replicaId }: Pick<NewReplicaSpec, 'directory' | 'volumeId' | 'replicaId'>,
): Promise<boolean> {
  const volume = `check-${replicaId}`;
  const opened = await calls.openVolume({ volume, directory, cacheMode: CacheMode.NONE });
  await calls.closeVolume({ volume });
  return opened.volume?.volumeId === volumeId;
}

/** Repeating what was done before is no error. */
export async function accepting(code: 'snapshot-exists' | 'snapshot-not-found', call: Promise<unknown>): Promise<void> {
  try {
    await call;
  } catch (error) {
    if (!hasCode(error, code)) throw error;
  }
}
