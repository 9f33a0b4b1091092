/**
 * One node's data planes as the control plane sees them, whatever the isolation: the control plane states what is to be
 * attached, the engine knows which process holds what. Everything here is idempotent, so that a reconciler can repeat it.
 */
import type { CacheMode, LayerInfo, VolumeCounters } from './native.js';

export type Isolation = 'node' | 'volume';
export type Frontend = 'nbd' | 'none';

/** What the engine must know to open a volume's replica on this node. */
export interface VolumeSpec {
  name: string;
  volumeId: string;
  /** The replica's directory, absolute. */
  directory: string;
  cacheMode: CacheMode;
  description: string;
}

export interface NewReplicaSpec {
  directory: string;
  volumeId: string;
  replicaId: string;
  sizeBytes: number;
  blockSize: number;
}

/** A volume as the process that holds it reports it. */
export interface RunningVolume {
  name: string;
  sizeBytes: number;
  blockSize: number;
  layers: LayerInfo[];
  counters: VolumeCounters;
  clients: number;
  frontend: Frontend;
  failure: string | null;
}

/** Where clients reach an exported volume, e.g. `nbd://127.0.0.1:10809/NAME`; the first is the one to print. */
export interface Attachment {
  uris: string[];
}

export type EngineEvent =
  /** A data-plane process came up, first or again: what should be open there must be opened again. */
  | { kind: 'process-started'; process: string; pid: number; restarted: boolean }
  | { kind: 'process-died'; process: string; pid: number; signal: string | null }
  | { kind: 'merge-finished' | 'volume-failed' | 'no-space' | 'unclean-recovery'; volume: string; message: string };

export interface DataPlaneProcess {
  id: string;
  pid: number;
  startTimeMs: number;
  version: string;
  volumes: string[];
}

export interface NodeEngine {
  /** Finds the processes that run, starts those that are missing, listens. */
  start(onEvent: (event: EngineEvent) => void): Promise<void>;
  /** Lets go of the processes; they keep serving. */
  release(): Promise<void>;
  /** Ends the processes cleanly: flushed, closed. */
  shutdown(): Promise<void>;

  processes(): DataPlaneProcess[];
  createReplica(replica: NewReplicaSpec): Promise<void>;
  deleteReplica(directory: string): Promise<void>;

  /** Opens the volume if needed and serves it (`nbd`) or only holds it open (`none`, maintenance). */
  attach(volume: VolumeSpec, frontend: Frontend): Promise<Attachment>;
  /** Refused with `volume-in-use` while clients are connected, unless forced. */
  detach(volume: string, force: boolean): Promise<void>;
  /** `null` when the volume is not open anywhere. */
  running(volume: string): Promise<RunningVolume | null>;
  allRunning(): Promise<RunningVolume[]>;

  /** The layers of a volume, attached or not (a detached one is opened for the moment). */
  layers(volume: VolumeSpec): Promise<LayerInfo[]>;
  createSnapshot(volume: VolumeSpec, snapshotId: string): Promise<void>;
  /**
   * Resolves when the removal is durable; the merge goes on in the background. A detached volume stays open
   * until its merge has finished.
   */
  deleteSnapshot(volume: VolumeSpec, snapshotId: string): Promise<void>;
  revertSnapshot(volume: VolumeSpec, snapshotId: string): Promise<void>;
}
