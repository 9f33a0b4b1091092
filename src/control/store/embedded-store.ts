/**
 * The store of a single node: lmdb in one directory, used by one process at a time.
 *
 * Transactions run one after the other here; lmdb commits each of them at once and syncs it before `txn` resolves (`overlappingSync`
 * off). Changes are kept by revision as well, up to `historyRevisionsMax` of them, so that a watch can begin in the past.
 * Leases live in memory beside their stored time to live: after a restart every lease has its whole time again, as after
 * a change of etcd's leader.
 */
import { randomUUID } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { open, type Database, type RootDatabase } from 'lmdb';
import { CairnError } from '../../errors.js';
import { lockDirectory, type DirectoryLock } from './directory-lock.js';
import { EmbeddedLeases } from './embedded-leases.js';
import { EmbeddedWatches } from './embedded-watches.js';
import type {
  Compare,
  KeyValue,
  KeyValueStore,
  Lease,
  LeaseId,
  Operation,
  TxnResult,
  WatchBatch,
  WatchEvent,
} from './key-value-store.js';
import { checkKey, checkTtl, checkTxn, keyOf } from './txn-check.js';

export interface EmbeddedStoreOptions {
  /** How many revisions a watch may begin in the past; older ones are compacted away as new ones come. */
  historyRevisionsMax?: number;
}

const historyRevisionsMaxDefault = 10_000;

type StoredItem = Omit<KeyValue, 'key'>;
interface Position {
  revision: number;
  /** Changes before this revision are forgotten. */
  compacted: number;
}

export class EmbeddedStore implements KeyValueStore {
  /** The tail of the queue of transactions. It never rejects. */
  private last: Promise<unknown> = Promise.resolve();
  private position: Position;
  private readonly leases: EmbeddedLeases;
  private readonly watches: EmbeddedWatches;
  private closed = false;

  /** Opens the store in `directory`, made if missing. Rejects with `store-locked` while it is open, here or in another process. */
  static async open(directory: string, options: EmbeddedStoreOptions = {}): Promise<EmbeddedStore> {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    const lock = await lockDirectory(directory);
    try {
      return new EmbeddedStore(directory, lock, options.historyRevisionsMax ?? historyRevisionsMaxDefault);
    } catch (cause) {
      await lock.release();
      throw new CairnError(
        'store-corrupt',
        `The store in ${directory} cannot be opened. Restore the directory from a copy.`,
        { cause },
      );
    }
  }

  private readonly root: RootDatabase;
  private readonly items: Database<StoredItem, string>;
  private readonly history: Database<WatchEvent[], number>;
  private readonly meta: Database<Position, string>;
  private readonly storedLeases: Database<number, LeaseId>;

  private constructor(
    directory: string,
    private readonly lock: DirectoryLock,
    private readonly historyRevisionsMax: number,
  ) {
    this.root = open({ path: join(directory, 'records.mdb'), overlappingSync: false, maxDbs: 4 });
    this.items = this.root.openDB({ name: 'items', encoding: 'json' });
    this.history = this.root.openDB({ name: 'history', encoding: 'json' });
    this.meta = this.root.openDB({ name: 'meta', encoding: 'json' });
    this.storedLeases = this.root.openDB({ name: 'leases', encoding: 'json' });
    this.position = this.meta.get('position') ?? { revision: 1, compacted: 1 };
    this.leases = new EmbeddedLeases((id) => this.endLease(id));
    for (const { key, value } of this.storedLeases.getRange()) this.leases.begin(key, value);
    this.watches = new EmbeddedWatches({ position: () => this.position, batches: (from) => this.batchesFrom(from) });
  }

  async get(key: string): Promise<KeyValue | null> {
    this.requireOpen();
    checkKey(key);
    const item = this.items.get(key);
    return item === undefined ? null : { key, ...item };
  }

  async range(prefix: string): Promise<{ items: KeyValue[]; revision: number }> {
    return this.exclusively(async () => ({ items: this.itemsBeneath(prefix), revision: this.position.revision }));
  }

  txn(compares: readonly Compare[], operations: readonly Operation[]): Promise<TxnResult> {
    return this.exclusively(async () => {
      checkTxn(compares, operations);
      for (const operation of operations) if ('put' in operation) this.leases.require(operation.lease ?? null);
      if (!compares.every((compare) => this.holds(compare)))
        return { succeeded: false, revision: this.position.revision };
      await this.commit(operations);
      return { succeeded: true, revision: this.position.revision };
    });
  }

  watch(prefix: string, fromRevision: number, signal?: AbortSignal): AsyncIterable<WatchBatch> {
    return this.watches.from(prefix, fromRevision, signal);
  }

  async lease(ttlSeconds: number): Promise<Lease> {
    checkTtl(ttlSeconds);
    const id = randomUUID();
    await this.exclusively(async () => {
      await this.storedLeases.put(id, ttlSeconds);
      this.leases.begin(id, ttlSeconds);
    });
    return {
      id,
      ttlSeconds,
      keepAlive: async () => this.leases.keepAlive(id),
      revoke: () => this.endLease(id),
    };
  }

  /** Forgets all changes before `revision`. */
  compact(revision: number): Promise<void> {
    return this.exclusively(async () => {
      const compacted = Math.min(Math.max(revision, this.position.compacted), this.position.revision);
      await this.write({ ...this.position, compacted }, () => this.forget(compacted));
    });
  }

  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    this.leases.stop();
    this.watches.close();
    await this.last;
    await this.root.close();
    await this.lock.release();
  }

  /** Runs after all that was begun before. */
  private exclusively<T>(work: () => Promise<T>): Promise<T> {
    const result = this.last.then(() => {
      this.requireOpen();
      return work();
    });
    this.last = result.catch(() => undefined);
    return result;
  }

  private async commit(operations: readonly Operation[], alongside: () => void = () => {}): Promise<void> {
    const effective = operations.filter(
      (operation) => 'put' in operation || this.items.get(operation.delete) !== undefined,
    );
    const { revision, compacted } = this.position;
    if (effective.length === 0) return this.write(this.position, alongside);
    const next = { revision: revision + 1, compacted: Math.max(compacted, revision + 2 - this.historyRevisionsMax) };
    const events = effective.map((operation) => this.eventOf(operation, next.revision));
    await this.write(next, () => {
      for (const event of events) this.apply(event);
      void this.history.put(next.revision, events);
      this.forget(next.compacted);
      alongside();
    });
    this.watches.wake();
  }

  /** One atomic, durable write. The position changes in memory only once it is on disk. */
  private async write(position: Position, puts: () => void): Promise<void> {
    await this.root.batch(() => {
      puts();
      void this.meta.put('position', position);
    });
    this.position = position;
  }

  private eventOf(operation: Operation, revision: number): WatchEvent {
    const key = keyOf(operation);
    if (!('put' in operation)) return { kind: 'delete', key };
    const createRevision = this.items.get(key)?.createRevision ?? revision;
    return {
      kind: 'put',
      key,
      item: { key, value: operation.value, createRevision, modRevision: revision, lease: operation.lease ?? null },
    };
  }

  private apply(event: WatchEvent): void {
    if (event.kind === 'delete') void this.items.remove(event.key);
    else {
      const { key, ...item } = event.item;
      void this.items.put(key, item);
    }
  }

  private forget(beforeRevision: number): void {
    for (const revision of this.history.getKeys({ end: beforeRevision })) void this.history.remove(revision);
  }

  private holds({ key, modRevision }: Compare): boolean {
    return (this.items.get(key)?.modRevision ?? 0) === modRevision;
  }

  private itemsBeneath(prefix: string): KeyValue[] {
    const found: KeyValue[] = [];
    for (const { key, value } of this.items.getRange({ start: prefix })) {
      if (!key.startsWith(prefix)) break;
      found.push({ key, ...value });
    }
    return found;
  }

  private *batchesFrom(revision: number): Iterable<WatchBatch> {
    for (const { key, value } of this.history.getRange({ start: revision })) yield { revision: key, events: value };
  }

  private async endLease(id: LeaseId): Promise<void> {
    await this.exclusively(async () => {
      if (!this.leases.end(id)) return;
      const held = this.itemsBeneath('').filter(({ lease }) => lease === id);
      await this.commit(
        held.map(({ key }) => ({ delete: key })),
        () => void this.storedLeases.remove(id),
      );
    });
  }

  private requireOpen(): void {
    if (this.closed)
      throw new CairnError('store-closed', 'The store is closed: the service is stopping. Try again once it runs.');
  }
}
