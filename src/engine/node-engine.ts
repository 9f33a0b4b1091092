/**
 * One node's data planes as the control plane sees them, whatever the isolation: the control plane states what is to be
 * attached, the engine knows which process holds what. Everything here is idempotent, so that a reconciler can repeat it.
 */
import type { KeyRef } from '../keys/key-source.js';
import type {
  CacheMode,
  CloneTarget,
  HeaderInfo,
  LayerInfo,
  Limits,
  LuksFormat,
  ScrubInfo,
  VolumeCounters,
} from './native.js';

export type Isolation = 'node' | 'volume';
/** What a volume is served by. `none`: it is open, and served to nobody. */
export type Frontend = 'nbd' | 'iscsi' | 'both' | 'none';

export function serves(frontend: Frontend | null, protocol: 'nbd' | 'iscsi'): boolean {
  return frontend === protocol || frontend === 'both';
}

/** What is served by these, or `none`. */
export function frontendOf(nbd: boolean, iscsi: boolean): Frontend {
  if (nbd && iscsi) return 'both';
  if (iscsi) return 'iscsi';
  return nbd ? 'nbd' : 'none';
}

/** What is left of a frontend when another is taken away. */
export function without(frontend: Frontend, removed: Frontend): Frontend {
  const left = (protocol: 'nbd' | 'iscsi') => serves(frontend, protocol) && !serves(removed, protocol);
  return frontendOf(left('nbd'), left('iscsi'));
}

/** Of one of CHAP's users: the secret is a key of a provider's. */
export interface ChapUser {
  user: string;
  secret: KeyRef;
}

/** Who may log in to a volume's iSCSI target. */
export interface AccessSpec {
  /** iSCSI names; none: every initiator. */
  initiators: string[];
  /** What an initiator proves; `null`: nothing. */
  chap: ChapUser | null;
  /** What is proven to an initiator that asks. */
  mutual: ChapUser | null;
}
export const openAccess: AccessSpec = { initiators: [], chap: null, mutual: null };

/** What the engine must know to open a volume's replica on this node. */
export interface VolumeSpec {
  name: string;
  volumeId: string;
  /** The replica's directory, absolute. */
  directory: string;
  cacheMode: CacheMode;
  /** As large as it is to be: a replica that is smaller, for its growth was interrupted, is grown when it is opened. */
  sizeBytes: number;
  limits: Limits;
  description: string;
  /** `null`: it is not encrypted. */
  encryption: { key: KeyRef } | null;
  /** Clients get the ciphertext of an encrypted volume, its header before it. */
  raw: boolean;
  /** Clients cannot write. */
  readOnly: boolean;
  access: AccessSpec;
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
  limits: Limits;
  clients: number;
  frontend: Frontend;
  failure: string | null;
  /** While it is being detached from what it was cloned from; progress from 0 to 1. */
  flatten: { progress: number; problem: string } | null;
  /** While it is being encrypted with a new volume key; progress from 0 to 1. */
  reencryption: { progress: number; problem: string } | null;
  scrub: ScrubInfo;
}

/** attached. working: detached, and open for as long as something is done with it. closed: as it was when it was closed. */
export type Openness = 'attached' | 'working' | 'closed';

export interface SeenVolume extends RunningVolume {
  openness: Openness;
}

/** Where clients reach an exported volume, e.g. `nbd://127.0.0.1:10809/NAME`; the first is the one to print. */
export interface Attachment {
  uris: string[];
}

export type EngineEvent =
  /** A data-plane process came up, first or again: what should be open there must be opened again. */
  | { kind: 'process-started'; process: string; pid: number; restarted: boolean }
  | { kind: 'process-died'; process: string; pid: number; signal: string | null }
  | { kind: VolumeEventKind; volume: string; message: string };

export const volumeEventKinds = [
  'merge-finished',
  'flatten-finished',
  'scrub-finished',
  'repaired',
  'damaged',
  'volume-failed',
  'no-space',
  'unclean-recovery',
  'header-repaired',
  'header-damaged',
  'reencryption-finished',
] as const;
export type VolumeEventKind = (typeof volumeEventKinds)[number];

export interface DataPlaneProcess {
  id: string;
  pid: number;
  startTimeMs: number;
  version: string;
  volumes: string[];
}

export interface FollowDeletion {
  /** 0 to 1. */
  onProgress: (progress: number) => void;
  /** Ends the call, not the deletion. */
  signal: AbortSignal;
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
  /** Closes the volume and removes its files, which goes on for minutes when they are large; `follow` tells how far it is. */
  deleteReplica(directory: string, follow?: FollowDeletion): Promise<void>;

  /** Opens the volume if needed and serves it, or only holds it open (`none`, maintenance). */
  attach(volume: VolumeSpec, frontend: Frontend): Promise<Attachment>;
  /** Refused with `volume-in-use` while clients are connected, unless forced. */
  detach(volume: string, force: boolean): Promise<void>;
  /** Serves it by this frontend no longer. Refused as detaching is; of a volume that is not open there is nothing to do. */
  withdraw(volume: string, frontend: Frontend, force: boolean): Promise<void>;
  /** `null` when the volume is not open anywhere. */
  running(volume: string): Promise<RunningVolume | null>;
  allRunning(): Promise<RunningVolume[]>;
  /** The volume attached, worked on, or as it was when it was closed last; `null` when this service has not seen it yet. */
  seen(volume: string): Promise<SeenVolume | null>;
  allSeen(): Promise<SeenVolume[]>;
  /** What the layers of a closed volume take; `null` if its files cannot be read. */
  allocatedBytes(directory: string): Promise<number | null>;

  /** The layers of a volume, attached or not (a detached one is opened for the moment). */
  layers(volume: VolumeSpec): Promise<LayerInfo[]>;
  createSnapshot(volume: VolumeSpec, snapshotId: string, name: string): Promise<void>;
  /**
   * Resolves when the removal is durable; the merge goes on in the background. A detached volume stays open
   * until its merge has finished.
   */
  deleteSnapshot(volume: VolumeSpec, snapshotId: string): Promise<void>;
  revertSnapshot(volume: VolumeSpec, snapshotId: string): Promise<void>;
  /** Makes a linked replica of another volume. */
  cloneSnapshot(volume: VolumeSpec, target: CloneTarget): Promise<void>;

  /** Whom its iSCSI target lets in from now on, as the spec says; of one that has none there is nothing to do. */
  setAccess(volume: VolumeSpec): Promise<void>;
  /** Tells a volume's initiators that its pool is running out of space, or not any more. */
  setSpaceLow(volume: string, low: boolean): Promise<void>;
  /** Lets the volume use what the spec says from now on; of one that is not open there is nothing to do. */
  setLimits(volume: VolumeSpec): Promise<void>;
  /** Makes the replica as large as the spec says, attached or not. */
  resize(volume: VolumeSpec): Promise<void>;
  /**
   * Begins to detach a clone from its parent or goes on with it; false when there is nothing (more) to do. A detached volume stays open
   * until that is done (event `flatten-finished`).
   */
  flatten(volume: VolumeSpec): Promise<boolean>;
  /** Makes a new volume an encrypted one, with a key that its passphrase opens. */
  formatEncryption(volume: VolumeSpec, format: LuksFormat): Promise<void>;
  /** What its LUKS2 header says; needs no key. */
  header(volume: VolumeSpec): Promise<HeaderInfo>;
  /** One more key slot, for the passphrase of `added`; nothing to do when there is one. */
  addKey(volume: VolumeSpec, added: KeyRef): Promise<void>;
  /** The slots that open with the passphrase of `removed`; refused when the volume's own key would not open it any more. */
  removeKey(volume: VolumeSpec, removed: KeyRef): Promise<void>;
  /** Into a new file of this node. */
  backupHeader(volume: VolumeSpec, path: string): Promise<void>;
  /** Of a detached volume. Refused, unless forced, when the present header is readable and of another volume or volume key. */
  restoreHeader(volume: VolumeSpec, path: string, force: boolean): Promise<void>;
  /**
   * Begins to encrypt the volume with a new volume key or goes on with it; false when that has been done, as it is done once for each
   * `id`. A detached volume stays open until then (event `reencryption-finished`).
   */
  reencrypt(volume: VolumeSpec, id: string): Promise<boolean>;
  /** A detached volume stays open until the scrub is over (event `scrub-finished`). */
  startScrub(volume: VolumeSpec): Promise<void>;

  /** Reads keys and certificates anew, for clients that connect from now on. */
  reloadTls(): Promise<void>;
}
