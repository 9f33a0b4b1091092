/** Data planes of the real addon in the test's own process: closed after the test, before their files go. */
import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';
import { loadNative, noLimits } from '../../src/engine/native.js';
import type { CacheMode, NativeDataPlane, NativeEvent, NewExport, VolumeInfo } from '../../src/engine/native.js';
import type { NbdAddress } from './nbd-stream.js';
import { eventually } from './real-deadline.js';
import { scratchDirectory } from './scratch.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const folder = process.env['CAIRN_PREBUILD'] ?? root;

/** Why the addon cannot be tested here; `null` when it can. */
export const whyNoAddon = existsSync(join(folder, 'build/Release/cairn.node'))
  ? null
  : 'the addon is not built (npm run build)';

/** Everything takes several times as long then. */
export const isUnderAsan = (process.env['LD_PRELOAD'] ?? '').includes('libasan');

const mebibyte = 1024 * 1024;

/** A plane with the events that it has reported and a directory for its sockets. */
export class TestPlane {
  readonly events: NativeEvent[] = [];
  readonly directory = scratchDirectory();
  readonly native: NativeDataPlane;

  constructor(reactors: number) {
    const { DataPlane } = loadNative();
    const options = {
      reactors,
      bufferBytes: 8 * mebibyte,
      connectionsMax: 100,
      negotiationsMax: 50,
      iscsi: { connectionsMax: 100, loginsMax: 50 },
    };
    this.native = new DataPlane(options, (event) => this.events.push(event));
  }

  /** Resolves with the first event of this kind about the volume. */
  async event(kind: NativeEvent['kind'], volume: string): Promise<NativeEvent> {
    const find = () => this.events.find((event) => event.kind === kind && event.volume === volume);
    await eventually(`${kind} of ${volume}`, () => find() !== undefined);
    return find() as NativeEvent;
  }
}

/** Closed after the test unless the test has closed it. */
export function startPlane(reactors = 1): TestPlane {
  const plane = new TestPlane(reactors);
  onTestFinished(async () => {
    await plane.native.close().catch((error: { code?: string }) => {
      if (error.code !== 'CLOSED') throw error;
    });
  });
  return plane;
}

export interface ReplicaShape {
  sizeBytes?: number;
  blockSize?: number;
}

/** Resolves with the directory of a new replica. */
export async function newReplica(plane: TestPlane, shape: ReplicaShape = {}): Promise<string> {
  const directory = join(plane.directory, 'replicas', randomUUID());
  const { sizeBytes = mebibyte, blockSize = 4096 } = shape;
  const ids = { volumeId: randomUUID(), replicaId: randomUUID() };
  await plane.native.createReplica({ directory, ...ids, sizeBytes, blockSize });
  return directory;
}

/** Opens a new volume. */
export async function openNew(plane: TestPlane, name: string, shape: ReplicaShape = {}): Promise<VolumeInfo> {
  return plane.native.openVolume({
    name,
    directory: await newReplica(plane, shape),
    cacheMode: 'none',
    limits: noLimits,
  });
}

/** Exports an open volume and listens for clients. */
export async function serve(plane: TestPlane, volume: string): Promise<NbdAddress> {
  await plane.native.addExport(exportOf(volume));
  return listen(plane);
}

/** Listens at the plane's unix socket, from the second call on already. */
export async function listen(plane: TestPlane): Promise<NbdAddress> {
  const path = join(plane.directory, 'nbd.sock');
  if (!existsSync(path)) await plane.native.listenUnix(path);
  return { path };
}

export async function openServed(
  plane: TestPlane,
  { name, directory, cacheMode = 'none' }: { name: string; directory: string; cacheMode?: CacheMode },
): Promise<{ address: NbdAddress; info: VolumeInfo }> {
  const info = await plane.native.openVolume({ name, directory, cacheMode, limits: noLimits });
  return { address: await serve(plane, name), info };
}

export function exportOf(volume: string, changes: Partial<NewExport> = {}): NewExport {
  return { name: volume, description: '', readOnly: false, decrypted: false, volume, handover: null, ...changes };
}
