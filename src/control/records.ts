/**
 * What the control plane remembers: one record for each volume and each snapshot, as JSON under versioned keys.
 *
 * A record says what is wanted; the reconciler makes it so. Whoever changes one compares its revision.
 */
import { Type, type Static, type TSchema } from 'typebox';
import { namePattern } from '../api/schemas.js';
import { Validator } from '../api/validation.js';
import { CairnError } from '../errors.js';
import type { Compare, KeyValue, KeyValueStore, Operation } from './store/key-value-store.js';
import { txnOperationsMax } from './store/key-value-store.js';

/** What a volume was cloned from; names as they were then. */
const CloneSource = Type.Object({
  volume: Type.String(),
  volumeId: Type.String(),
  snapshot: Type.String(),
  snapshotId: Type.String(),
  /** linked: it shares layers with its source. flattening: they are to be made its own. flattened: it has its own. */
  state: Type.Enum(['linked', 'flattening', 'flattened']),
});
export type CloneSource = Static<typeof CloneSource>;

const limit = Type.Union([Type.Integer({ minimum: 1 }), Type.Null()]);
const Limits = Type.Object({
  iops: limit,
  iopsBurst: limit,
  bandwidth: limit,
  bandwidthBurst: limit,
  burstSeconds: limit,
});

const KeyName = Type.Object({ provider: Type.String(), key: Type.String() });

/** Where its passphrase is, and what its replicas have before its first byte. */
const Encryption = Type.Object({
  provider: Type.String(),
  key: Type.String(),
  /** Bytes in front of the ciphertext: the LUKS2 header. */
  headerBytes: Type.Integer({ minimum: 0 }),
  allowDiscards: Type.Boolean(),
  /** A key that it is to have next; one that it had before, whose key slots are to go. Missing or null: none. */
  next: Type.Optional(Type.Union([KeyName, Type.Null()])),
  previous: Type.Optional(Type.Union([KeyName, Type.Null()])),
  /** It is to be encrypted with a new volume key, once for each id. Missing or null: that is done, or was never asked for. */
  reencryption: Type.Optional(Type.Union([Type.Object({ id: Type.String() }), Type.Null()])),
});
export type Encryption = Static<typeof Encryption>;

const ChapUser = Type.Object({ user: Type.String(), secret: KeyName });
const Access = Type.Object({
  initiators: Type.Array(Type.String()),
  chap: Type.Union([ChapUser, Type.Null()]),
  mutual: Type.Union([ChapUser, Type.Null()]),
});

/** What the last scrub that ended has found. */
const ScrubResult = Type.Object({
  state: Type.Enum(['finished', 'stopped']),
  progress: Type.Number(),
  blocksChecked: Type.Integer(),
  blocksDamaged: Type.Integer(),
  blocksUnverified: Type.Integer(),
  repaired: Type.Integer(),
  findings: Type.Array(Type.String()),
  ended: Type.String(),
});

export const VolumeRecord = Type.Object({
  name: Type.String({ pattern: namePattern }),
  id: Type.String(),
  replicaId: Type.String(),
  /** The directory that holds `replicas/<id>/<replicaId>`. */
  pool: Type.String(),
  sizeBytes: Type.Integer({ minimum: 1 }),
  blockSize: Type.Enum([512, 4096]),
  cacheMode: Type.Enum(['none', 'writeback', 'writethrough']),
  /** creating: its files may not be there yet. deleting: they may be gone already. */
  state: Type.Enum(['creating', 'ready', 'deleting']),
  /** How it is to be attached; null: detached. */
  frontend: Type.Union([Type.Enum(['nbd', 'iscsi', 'both', 'none']), Type.Null()]),
  /** What its clients get while it is attached: ciphertext, and no writing. Missing: plaintext, with writing. */
  raw: Type.Optional(Type.Boolean()),
  readOnly: Type.Optional(Type.Boolean()),
  /** Several frontends may serve it at the same time. Missing: no. */
  shared: Type.Optional(Type.Boolean()),
  /** Who may log in to its iSCSI target. Missing: everybody. */
  access: Type.Optional(Access),
  /** Missing: it is no clone. */
  source: Type.Optional(CloneSource),
  /** Missing or null: it was never scrubbed, or is being scrubbed now. */
  scrub: Type.Optional(Type.Union([ScrubResult, Type.Null()])),
  /** Missing: none. */
  limits: Type.Optional(Limits),
  /** Missing: it is not encrypted. */
  encryption: Type.Optional(Encryption),
  created: Type.String(),
});
export type VolumeRecord = Static<typeof VolumeRecord>;

/** An encrypted volume's replicas hold its header before what clients see. */
export function replicaBytes({ sizeBytes, encryption }: Pick<VolumeRecord, 'sizeBytes' | 'encryption'>): number {
  return sizeBytes + (encryption?.headerBytes ?? 0);
}

/** A pool on a device that the kernel's dm-crypt encrypts. */
const PoolEncryption = Type.Object({
  /** As it was named when the pool was added; afterwards the device is found by its UUID. */
  device: Type.String(),
  /** Of the LUKS2 header. Chosen before it is written, so that a device of ours is known by it. */
  uuid: Type.String(),
  provider: Type.String(),
  key: Type.String(),
  fileSystem: Type.Enum(['ext4', 'xfs']),
});
export type PoolEncryption = Static<typeof PoolEncryption>;

/** A pool that was added while the service ran, beside those of the configuration. */
export const PoolRecord = Type.Object({
  name: Type.String({ pattern: namePattern }),
  /** Absolute. Of an encrypted pool, where its file system is mounted. */
  directory: Type.String(),
  /**
   * creating: it holds nothing yet, whatever is done already. undoing: likewise, and the device becomes blank again. removing: its data stays on
   * the device.
   */
  state: Type.Enum(['creating', 'undoing', 'ready', 'removing']),
  encryption: Type.Union([PoolEncryption, Type.Null()]),
  created: Type.String(),
});
export type PoolRecord = Static<typeof PoolRecord>;

export const SnapshotRecord = Type.Object({
  name: Type.String({ pattern: namePattern }),
  id: Type.String(),
  volumeId: Type.String(),
  state: Type.Enum(['creating', 'ready', 'deleting']),
  /** Of the volume when it was taken. Missing: an earlier version took it. */
  sizeBytes: Type.Optional(Type.Integer({ minimum: 1 })),
  created: Type.String(),
});
export type SnapshotRecord = Static<typeof SnapshotRecord>;

/** A record and the revision to compare when it is changed. */
export interface Stored<Record> {
  record: Record;
  revision: number;
}

const poolsPrefix = '/cairn/v1/pools/';
const volumesPrefix = '/cairn/v1/volumes/';
/** By the volume's id, so that a new volume of the same name has none of the old one's. */
const snapshotsPrefix = '/cairn/v1/snapshots/';
const isName = new RegExp(namePattern);

/** The records of one schema under one prefix. */
class RecordSet<Record extends { name: string }> {
  private readonly validator: Validator<TSchema>;

  constructor(
    private readonly store: KeyValueStore,
    schema: TSchema,
    private readonly prefix: string,
  ) {
    this.validator = new Validator(schema);
  }

  async get(name: string): Promise<Stored<Record> | null> {
    const item = isName.test(name) ? await this.store.get(this.keyOf(name)) : null;
    return item && this.read(item);
  }

  /** Sorted by name. Records that cannot be read go to `onCorrupt`, so that one does not hide the others. */
  async list(onCorrupt: (error: CairnError) => void): Promise<Stored<Record>[]> {
    const { items } = await this.store.range(this.prefix);
    return items.flatMap((item) => {
      try {
        return [this.read(item)];
      } catch (error) {
        if (!(error instanceof CairnError)) throw error;
        onCorrupt(error);
        return [];
      }
    });
  }

  /** False when the name is taken. */
  async create(record: Record): Promise<boolean> {
    return this.apply([{ key: this.keyOf(record.name), modRevision: 0 }], [this.put(record)]);
  }

  /** Throws `store-conflict` when it was changed meanwhile. */
  async change({ record, revision }: Stored<Record>, changes: Partial<Record>): Promise<Stored<Record>> {
    const key = this.keyOf(record.name);
    const changed = { ...record, ...changes };
    const result = await this.store.txn([{ key, modRevision: revision }], [this.put(changed)]);
    if (!result.succeeded) throw conflict(key);
    return { record: changed, revision: result.revision };
  }

  async remove({ record, revision }: Stored<Record>): Promise<void> {
    const key = this.keyOf(record.name);
    if (!(await this.apply([{ key, modRevision: revision }], [{ delete: key }]))) throw conflict(key);
  }

  /** All of them, readable or not. */
  async removeAll(): Promise<void> {
    const { items } = await this.store.range(this.prefix);
    for (let at = 0; at < items.length; at += txnOperationsMax)
      await this.apply(
        [],
        items.slice(at, at + txnOperationsMax).map(({ key }) => ({ delete: key })),
      );
  }

  private async apply(compares: Compare[], operations: Operation[]): Promise<boolean> {
    return (await this.store.txn(compares, operations)).succeeded;
  }

  private put(record: Record): Operation {
    return { put: this.keyOf(record.name), value: JSON.stringify(record) };
  }

  private keyOf(name: string): string {
    return this.prefix + name;
  }

  private read({ key, value, modRevision }: KeyValue): Stored<Record> {
    try {
      return { record: this.validator.check(JSON.parse(value), 'record') as Record, revision: modRevision };
    } catch (cause) {
      throw new CairnError(
        'store-corrupt',
        `The record ${key} is not one that this version can read. Run the version that wrote it, or restore the data directory.`,
        { cause },
      );
    }
  }
}

export type Volumes = RecordSet<VolumeRecord>;
export type Snapshots = RecordSet<SnapshotRecord>;
export type PoolRecords = RecordSet<PoolRecord>;

export class Records {
  readonly volumes: Volumes;
  readonly pools: PoolRecords;

  constructor(private readonly store: KeyValueStore) {
    this.volumes = new RecordSet(store, VolumeRecord, volumesPrefix);
    this.pools = new RecordSet(store, PoolRecord, poolsPrefix);
  }

  snapshotsOf(volumeId: string): Snapshots {
    return new RecordSet(this.store, SnapshotRecord, `${snapshotsPrefix}${volumeId}/`);
  }

  /** How many snapshots each volume has, by its id. */
  async snapshotCounts(): Promise<Map<string, number>> {
    const counts = new Map<string, number>();
    for (const { key } of (await this.store.range(snapshotsPrefix)).items) {
      const volumeId = key.slice(snapshotsPrefix.length).split('/', 1)[0] ?? '';
      counts.set(volumeId, (counts.get(volumeId) ?? 0) + 1);
    }
    return counts;
  }
}

function conflict(key: string): CairnError {
  return new CairnError('store-conflict', `The record ${key} was changed meanwhile. Look at it, then try again.`);
}
