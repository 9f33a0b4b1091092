/**
 * Where the control plane keeps its records: etcd's model behind a narrow interface. Every committed change has a revision; a
 * change is made by comparing revisions, so that two writers never overwrite each other unseen.
 *
 * test/conformance/kv-store.ts states what every implementation must do.
 */

/** Keys are paths of printable ASCII without spaces, e.g. `/cairn/v1/volumes/db`; they sort byte by byte. */
export const keyPattern = /^[\x21-\x7e]{1,512}$/;
export const valueBytesMax = 1024 * 1024;
/** etcd's default. */
export const txnOperationsMax = 128;

/** Handed out by {@link KeyValueStore.lease}; opaque. */
export type LeaseId = string;

export interface KeyValue {
  key: string;
  value: string;
  /** The revision that created the key (again, after a deletion). */
  createRevision: number;
  /** The revision that changed it last: what a {@link Compare} names. */
  modRevision: number;
  lease: LeaseId | null;
}

/** Holds when the key's last change is this revision; 0: when there is no such key. */
export interface Compare {
  key: string;
  modRevision: number;
}

/** A put without `lease` takes the key off the lease it had. Deleting a key that is not there does nothing. */
export type Operation = { put: string; value: string; lease?: LeaseId | null } | { delete: string };

export interface TxnResult {
  /** False when a comparison did not hold: then nothing was changed. */
  succeeded: boolean;
  /** The store's revision after the transaction; all its changes carry it. Only a change makes a new one. */
  revision: number;
}

export type WatchEvent = { kind: 'put'; key: string; item: KeyValue } | { kind: 'delete'; key: string };

/** All changes beneath the watched prefix that one revision made. */
export interface WatchBatch {
  revision: number;
  events: WatchEvent[];
}

export interface Lease {
  readonly id: LeaseId;
  readonly ttlSeconds: number;
  /** Starts the time to live anew. Rejects with `lease-not-found` once it is over. */
  keepAlive(): Promise<void>;
  /** Ends the lease now and deletes its keys, all in one revision. Revoking a lease that is over does nothing. */
  revoke(): Promise<void>;
}

export interface KeyValueStore {
  get(key: string): Promise<KeyValue | null>;
  /** All keys that begin with `prefix`, sorted, as of one revision: watching from `revision + 1` misses nothing. */
  range(prefix: string): Promise<{ items: KeyValue[]; revision: number }>;
  /**
   * Applies all operations at once if every comparison holds. Durable when it resolves. Rejects with `invalid-request` (a key twice,
   * too many operations, a bad key or value) and `lease-not-found`; then nothing was changed.
   */
  txn(compares: readonly Compare[], operations: readonly Operation[]): Promise<TxnResult>;
  /**
   * Every change beneath `prefix` from revision `fromRevision` (which may lie in the past or the future), in order, until `signal` aborts (the
   * iteration ends) or the store closes (it throws `store-closed`). Throws `revision-compacted` when those changes are no longer known.
   */
  watch(prefix: string, fromRevision: number, signal?: AbortSignal): AsyncIterable<WatchBatch>;
  /** Keys put with the lease are deleted when it has not been kept alive for `ttlSeconds` (an integer, at least 1). */
  lease(ttlSeconds: number): Promise<Lease>;
  close(): Promise<void>;
}
