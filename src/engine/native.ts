/**
 * The boundary to the native data path: the only file that loads the addon.
 *
 * Plain data crosses it, in both directions; volume bytes never do. Sizes are numbers (exact up to 2^53).
 * Every rejected promise is an `Error` with a `code` from {@link NativeErrorCode}.
 */
import { createRequire } from 'node:module';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { CairnError } from '../errors.js';

export type CacheMode = 'none' | 'writeback' | 'writethrough';

/** What the addon's errors carry as `code`. `EIO` and the like come from the operating system. */
export type NativeErrorCode =
  | 'VOLUME_EXISTS'
  | 'VOLUME_NOT_OPEN'
  | 'VOLUME_LOCKED'
  | 'VOLUME_IN_USE'
  | 'REPLICA_EXISTS'
  | 'REPLICA_MISSING'
  | 'REPLICA_CORRUPT'
  | 'SNAPSHOT_EXISTS'
  | 'SNAPSHOT_MISSING'
  | 'SNAPSHOT_IN_USE'
  | 'CLONE_OTHER_FILE_SYSTEM'
  | 'SCRUB_RUNNING'
  | 'WRONG_KEY'
  | 'HEADER_DAMAGED'
  | 'ENCRYPTION_UNSUPPORTED'
  | 'VOLUME_KEY_MISSING'
  | 'CIPHER_BROKEN'
  | 'DEVICE_IN_USE'
  | 'DEVICE_MISSING'
  | 'DEVICE_MAPPER_MISSING'
  | 'EXPORT_EXISTS'
  | 'EXPORT_MISSING'
  | 'INVALID_ARGUMENT'
  | 'CLOSED'
  | 'ENOSPC'
  | 'EIO'
  | 'EADDRINUSE'
  | 'EADDRNOTAVAIL'
  | 'EACCES'
  | (string & {});

export interface DataPlaneOptions {
  /** Reactor threads, each with one io_uring; a volume belongs to one of them. 1 to 64. */
  reactors: number;
  /** Bytes of aligned I/O buffers for each reactor, 1 MiB to 64 GiB. */
  bufferBytes: number;
  /** Connections of NBD clients at the same time, 1 to 1,000,000; one beyond is closed at once. */
  connectionsMax: number;
  /** Of those, in the handshake. */
  negotiationsMax: number;
  /** Connections of iSCSI initiators, and of those, not logged in yet. */
  iscsi: { connectionsMax: number; loginsMax: number };
}

export interface NewReplica {
  directory: string;
  volumeId: string;
  replicaId: string;
  /** A multiple of 4096, at least 4096. */
  sizeBytes: number;
  /** Logical block size: 512 or 4096. */
  blockSize: number;
}

/** The replica that a clone becomes. */
export interface CloneTarget {
  snapshotId: string;
  directory: string;
  volumeId: string;
  replicaId: string;
}

export interface LayerInfo {
  id: string;
  /** Of a snapshot, as clients name it; `null` for the head. */
  name: string | null;
  /** `null` for the base. */
  parent: string | null;
  removed: boolean;
  inChain: boolean;
  allocatedBytes: number;
  createdMs: number;
  /** 0 to 1 while a removed layer is merged away, else 0. */
  mergeProgress: number;
  /** Its files belong to a clone too. */
  shared: boolean;
  /** A scrub can verify it. */
  checksummed: boolean;
}

export const scrubStates = ['never', 'running', 'finished', 'stopped'] as const;
export type ScrubState = (typeof scrubStates)[number];

/** The scrub that runs, or the last one since the volume was opened. */
export interface ScrubInfo {
  state: ScrubState;
  /** 0 to 1. */
  progress: number;
  blocksChecked: number;
  blocksDamaged: number;
  /** Those without a checksum. */
  blocksUnverified: number;
  repaired: number;
  /** The first of them, for people. */
  findings: string[];
}

export interface VolumeCounters {
  reads: number;
  readBytes: number;
  writes: number;
  writtenBytes: number;
  flushes: number;
  trims: number;
  trimmedBytes: number;
  writeZeroes: number;
  errors: number;
  /** Requests that waited for the volume's limits, or for its share while others are busy. */
  throttled: number;
  /** How long, all of them together. */
  throttledMs: number;
}

/** What a volume may use. Reads and writes count as an operation and with their bytes, trims and write-zeroes as an operation. */
export interface Limits {
  /** Operations a second, at least 1. */
  iops: number | null;
  /** While a burst lasts: more than `iops`, which must be given. */
  iopsBurst: number | null;
  /** Bytes a second, at least 1. */
  bandwidth: number | null;
  /** While a burst lasts: more than `bandwidth`, which must be given. */
  bandwidthBurst: number | null;
  /** How long a volume that has rested may burst; given if a burst is. */
  burstSeconds: number | null;
}

export const noLimits: Limits = {
  iops: null,
  iopsBurst: null,
  bandwidth: null,
  bandwidthBurst: null,
  burstSeconds: null,
};

/** Whether they limit the same. */
export function areLimitsEqual(one: Limits, other: Limits): boolean {
  return (Object.keys(noLimits) as (keyof Limits)[]).every((limit) => one[limit] === other[limit]);
}

/** How a volume is encrypted: aes-xts-plain64 in LUKS2. */
export interface LuksFormat {
  /** Bytes that are encrypted with one tweak: 512 or 4096. */
  sectorSize: number;
  /** Whether trims give space back, which shows where nothing is stored. */
  allowDiscards: boolean;
}

/** A block device that is, or becomes, a LUKS2 one with this UUID. */
export interface PoolDeviceId {
  path: string;
  uuid: string;
}

/** What is opened, and how. */
export interface VolumeToOpen {
  name: string;
  directory: string;
  cacheMode: CacheMode;
  limits: Limits;
}

export interface VolumeInfo {
  name: string;
  directory: string;
  volumeId: string;
  sizeBytes: number;
  blockSize: number;
  cacheMode: CacheMode;
  /** Oldest first, the head last. */
  layers: LayerInfo[];
  counters: VolumeCounters;
  limits: Limits;
  clients: number;
  /** Why the volume refuses writes; `null` when it is well. */
  failure: string | null;
  /** While it is being detached from what it was cloned from; progress from 0 to 1. `problem`: why it waits, or empty. */
  flatten: { progress: number; problem: string } | null;
  /** While it is being encrypted with a new volume key; progress from 0 to 1. `problem`: why it waits, or empty. */
  reencryption: { progress: number; problem: string } | null;
  scrub: ScrubInfo;
  /** Its plaintext can be exported. */
  unlocked: boolean;
  /** True when the last owner did not close it and the open recovered it. */
  recovered: boolean;
}

/** What the LUKS2 header of a volume says. */
export interface HeaderInfo {
  uuid: string;
  /** Of the cipher, in bytes. */
  sectorSize: number;
  /** Those that open the volume. `memoryKib` is 0 where the derivation (`argon2id`, `argon2i`, `pbkdf2`) takes none. */
  keySlots: { number: number; derivation: string; memoryKib: number; iterations: number }[];
}

export interface NewExport {
  name: string;
  description: string;
  readOnly: boolean;
  /** The plaintext of an encrypted volume; rejects with `VOLUME_KEY_MISSING` unless that has been unlocked. */
  decrypted: boolean;
  /** A volume of this process, or `null` and `handover` set. */
  volume: string | null;
  /** The process that holds the volume, when it is another one. */
  handover: { path: string } | null;
}

/** A user and a secret of CHAP, 12 to 255 bytes. */
export interface Credential {
  user: string;
  secret: Uint8Array;
}

/** Who may log in to an iSCSI target, or ask which ones there are. */
export interface Access {
  /** iSCSI names; none: every initiator. */
  initiators: string[];
  /** An initiator proves one of them; none: it need not prove anything. */
  chap: Credential[];
  /** What is proven to an initiator that asks. */
  mutual: Credential | null;
}

export interface NewTarget {
  /** `iqn.YYYY-MM.DOMAIN:NAME` */
  name: string;
  alias: string;
  readOnly: boolean;
  /** The plaintext of an encrypted volume; rejects with `VOLUME_KEY_MISSING` unless that has been unlocked. */
  decrypted: boolean;
  /** A volume of this process, or `null` and `handover` set. */
  volume: string | null;
  /** Its UUID, of which the identifiers of the logical unit are made. */
  volumeId: string;
  /** The process that holds the volume, when it is another one. */
  handover: { path: string } | null;
}

export interface NativeEvent {
  kind:
    | 'merge-finished'
    | 'flatten-finished'
    | 'scrub-finished'
    | 'repaired'
    | 'damaged'
    | 'volume-failed'
    | 'no-space'
    | 'header-repaired'
    | 'header-damaged'
    | 'reencryption-finished';
  volume: string;
  message: string;
}

export type TlsMode = 'off' | 'on' | 'require';

export interface TlsSettings {
  mode: TlsMode;
  /** ca-cert.pem, server-cert.pem, server-key.pem, and ca-crl.pem if there is one. */
  certificateDirectory: string | null;
  /** Clients need a certificate of the CA. */
  verifyPeer: boolean;
  /** Pre-shared keys, a line `user:hexkey` each. */
  pskFile: string | null;
}

/**
 * One data plane: its reactors, open volumes, exports and listeners. It serves until it is closed, also when nothing refers to
 * it any more; a process (or worker) that ends without closing it leaves its volumes as a crash does. It keeps a process alive
 * only while a promise is pending. An argument of the wrong type throws a `TypeError` that names the field.
 */
export interface NativeDataPlane {
  createReplica(replica: NewReplica): Promise<void>;
  openVolume(volume: VolumeToOpen): Promise<VolumeInfo>;
  /** Flushes and closes; rejects with `VOLUME_IN_USE` while exported. */
  closeVolume(name: string): Promise<void>;
  volumeInfo(name: string): Promise<VolumeInfo>;
  /** Requests that wait follow the new limits at once. */
  setLimits(volume: string, limits: Limits): Promise<void>;
  /** Clients that are connected go on. Rejects with `INVALID_ARGUMENT` when that is smaller. */
  resizeVolume(volume: string, sizeBytes: number): Promise<void>;
  /** Resolves when the mark is durable; the copies go on in the background (`flatten-finished`). */
  flattenVolume(volume: string): Promise<void>;
  /** Goes on in the background (`scrub-finished`). Rejects with `SCRUB_RUNNING` while one runs. */
  startScrub(volume: string): Promise<void>;
  /** What the volume held cannot be read any more. Rejects with `VOLUME_IN_USE` while exported. */
  formatEncryption(volume: string, format: LuksFormat, passphrase: Uint8Array): Promise<void>;
  /** Until it is closed. Rejects with `WRONG_KEY`, or `HEADER_DAMAGED` when neither copy of the header is whole. */
  unlockVolume(volume: string, passphrase: Uint8Array): Promise<void>;
  /** What its header says without a key. */
  headerInfo(volume: string): Promise<HeaderInfo>;
  /** For the kernel's dm-crypt. One that has this UUID and a key slot already is left as it is. Rejects with `DEVICE_IN_USE`. */
  formatPoolDevice(device: PoolDeviceId, passphrase: Uint8Array): Promise<void>;
  /** `/dev/mapper/MAPPING` is its plaintext from then on. Rejects with `WRONG_KEY`, `DEVICE_MISSING`, `DEVICE_MAPPER_MISSING`. */
  openPoolDevice(device: PoolDeviceId, mapping: string, passphrase: Uint8Array): Promise<void>;
  /** Nothing to do when there is no such mapping. Rejects with `DEVICE_IN_USE`. */
  closePoolDevice(mapping: string): Promise<void>;
  /** Clients go on. Nothing to do when a slot opens with `added`. Rejects with `WRONG_KEY` when none does with `known`. */
  addKey(volume: string, known: Uint8Array, added: Uint8Array): Promise<void>;
  /** Destroys every slot that opens with `removed`. Rejects with `INVALID_ARGUMENT` when `kept` would open none of the others. */
  removeKey(volume: string, removed: Uint8Array, kept: Uint8Array): Promise<void>;
  /** Into a new file, as `cryptsetup luksHeaderBackup` writes it. Rejects with `EEXIST` when there is one. */
  backupHeader(volume: string, path: string): Promise<void>;
  /**
   * Of a volume that is neither exported nor unlocked. Rejects with `INVALID_ARGUMENT`, unless forced, when the present header is
   * readable and of another volume or volume key.
   */
  restoreHeader(volume: string, path: string, force: boolean): Promise<void>;
  /**
   * With a new volume key; resolves when that has begun, the rest goes on in the background (`reencryption-finished`), over openings
   * too. The same `id` again does nothing. Rejects with `VOLUME_KEY_MISSING` unless it is unlocked, with `WRONG_KEY`, and with
   * `REENCRYPTION_RUNNING` while another one runs; snapshots, reverts and changes of key slots do that too meanwhile.
   */
  reencryptVolume(volume: string, id: string, passphrase: Uint8Array): Promise<void>;
  /** The name is unique among the volume's snapshots: clients find it as VOLUME@NAME. */
  createSnapshot(volume: string, snapshotId: string, name: string): Promise<void>;
  /** Rejects with `CLONE_OTHER_FILE_SYSTEM` when the target is in another one, `REPLICA_EXISTS` when it is taken. */
  cloneSnapshot(volume: string, target: CloneTarget): Promise<void>;
  /** Marks it removed; resolves when that is durable. Rejects with `SNAPSHOT_IN_USE` while clients read it. The merge goes on in the background (`merge-finished`). */
  deleteSnapshot(volume: string, snapshotId: string): Promise<void>;
  /** Rejects with `VOLUME_IN_USE` while exported; cannot be exported meanwhile. */
  revertSnapshot(volume: string, snapshotId: string): Promise<void>;
  addExport(exported: NewExport): Promise<void>;
  /** Rejects with `VOLUME_IN_USE` while clients are connected, unless forced. */
  removeExport(name: string, force: boolean): Promise<void>;
  /** Initiators can log in when it resolves. Rejects with `EXPORT_EXISTS`, and `INVALID_ARGUMENT` for an access that cannot work. */
  addTarget(target: NewTarget & { access: Access }): Promise<void>;
  /** Rejects with `VOLUME_IN_USE` while there are sessions, unless forced. */
  removeTarget(name: string, force: boolean): Promise<void>;
  /** For logins that begin later. */
  setTargetAccess(name: string, access: Access): Promise<void>;
  /** The pool of the target's volume is running out of space, or not any more: initiators are told. */
  setSpaceLow(name: string, low: boolean): Promise<void>;
  /** Who may ask which targets there are, and where they are told to be (none: where the initiator has connected to). */
  setDiscovery(settings: { access: Access; portals: { host: string; port: number }[] }): Promise<void>;
  listenIscsi(host: string, port: number): Promise<{ host: string; port: number }>;
  /** As `unlistenTcp`. */
  unlistenIscsi(host: string, port: number): Promise<void>;
  /** Takes connections of initiators over from other processes. */
  listenIscsiHandover(path: string): Promise<void>;
  /** At any time, also again; holds for new connections. Rejects with `INVALID_ARGUMENT` for files that cannot be used. */
  setTls(settings: TlsSettings): Promise<void>;
  listenTcp(host: string, port: number): Promise<{ host: string; port: number }>;
  /** Of an address as `listenTcp` told it. Connections that came in there stay; nobody listening there is no error. */
  unlistenTcp(host: string, port: number): Promise<void>;
  /** Replaces a stale socket file; rejects with `EADDRINUSE` if another process listens on it. */
  listenUnix(path: string): Promise<void>;
  /** Takes connections over from other processes (SCM_RIGHTS). */
  listenHandover(path: string): Promise<void>;
  /** Stops accepting, drains, flushes and closes everything. The object cannot be used afterwards. */
  close(): Promise<void>;
}

export interface Native {
  DataPlane: new (options: DataPlaneOptions, onEvent: (event: NativeEvent) => void) => NativeDataPlane;
  /** What the kernel offers; `reason` says what to enable when io_uring cannot be used. */
  probe(): { ioUring: boolean; reason: string | null };
}

let loaded: Native | undefined;

/** Loads the addon once; throws with the build command when it is missing. */
export function loadNative(): Native {
  if (loaded) return loaded;
  const require = createRequire(import.meta.url);
  const build = require('node-gyp-build') as (directory: string) => Native;
  try {
    loaded = build(fileURLToPath(new URL('../..', import.meta.url)));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const what = `The native addon cannot be loaded: ${reason}. Build it with: npm run build`;
    throw new CairnError('data-plane-unavailable', what, { cause: error });
  }
  return loaded;
}

/**
 * The addon, or for tests the module that the variable CAIRN_NATIVE_MODULE names, which exports the same as the addon.
 */
export async function loadNativeOrStandIn(environment: NodeJS.ProcessEnv): Promise<Native> {
  const standIn = environment['CAIRN_NATIVE_MODULE'];
  if (standIn === undefined || standIn === '') return loadNative();
  return (await import(pathToFileURL(standIn).href)) as Native;
}
