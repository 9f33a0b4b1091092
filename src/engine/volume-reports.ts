/** Volumes as their processes report them, with what is known of them here. */
import { hasCode } from '../errors.js';
import type { Volume } from '../generated/cairn/dataplane/v1/data_plane_pb.js';
import { fromWireVolume } from './data-plane-messages.js';
import type { HeldVolume } from './held-volumes.js';
import type { RunningVolume, SeenVolume } from './node-engine.js';

export function runningVolume(volume: Volume, { frontend }: HeldVolume): RunningVolume {
  const { directory: _directory, volumeId: _id, cacheMode: _mode, ...rest } = fromWireVolume(volume);
  return { ...rest, frontend };
}

export function seenVolume(volume: Volume, held: HeldVolume): SeenVolume {
  return { ...runningVolume(volume, held), openness: held.purpose === 'attached' ? 'attached' : 'working' };
}

/** `undefined` when the process died or the volume was closed while it was asked. */
export async function unlessGone<Result>(call: Promise<Result> | undefined): Promise<Result | undefined> {
  try {
    return await call;
  } catch (error) {
    if (hasCode(error, 'data-plane-unavailable', 'volume-detached')) return undefined;
    throw error;
  }
}
