/** What every KeyValueStore must do. Each implementation's own test file calls {@link describeKeyValueStore}. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  txnOperationsMax,
  valueBytesMax,
  type KeyValueStore,
  type Operation,
  type WatchBatch,
} from '../../src/control/store/key-value-store.js';

export interface StoreUnderTest {
  store: KeyValueStore;
  /** Another view of the same data, later: the store closed and opened again, or a second client. */
  reopen(): Promise<KeyValueStore>;
  /** Forgets changes before a revision. */
  compact(revision: number): Promise<void>;
  dispose(): Promise<void>;
}

const eventDeadlineMs = 20_000;

/** `open` gives an empty store (or an empty part of one). */
export function describeKeyValueStore(name: string, open: () => Promise<StoreUnderTest>): void {
  let tested: StoreUnderTest;
  let store: KeyValueStore;
  beforeEach(async () => {
    tested = await open();
    store = tested.store;
  });
  afterEach(() => tested.dispose());

  const put = async (key: string, value: string, lease: string | null = null): Promise<number> =>
    (await store.txn([], [{ put: key, value, lease }])).revision;
  const remove = async (key: string): Promise<number> => (await store.txn([], [{ delete: key }])).revision;

  describe(`${name}: get and range`, () => {
    it('has nothing under a key that was never put', async () => {
      expect(await store.get('/a')).toBeNull();
    });

    it('gives back what was put, with the revision that did it', async () => {
      const revision = await put('/a', 'one');
      expect(await store.get('/a')).toEqual({
        key: '/a',
        value: 'one',
        createRevision: revision,
        modRevision: revision,
        lease: null,
      });
    });

    it('keeps the revision of the creation when a key changes', async () => {
      const created = await put('/a', 'one');
      const changed = await put('/a', 'two');
      expect(await store.get('/a')).toMatchObject({ value: 'two', createRevision: created, modRevision: changed });
    });

    it('begins a new life after a deletion', async () => {
      await put('/a', 'one');
      await remove('/a');
      expect(await store.get('/a')).toBeNull();
      const again = await put('/a', 'two');
      expect(await store.get('/a')).toMatchObject({ createRevision: again, modRevision: again });
    });

    it('ranges over exactly the keys with the prefix, sorted', async () => {
      for (const key of ['/b/2', '/a', '/b/10', '/b', '/b0', '/b/1', '/c', '/b/~']) await put(key, key);
      const { items } = await store.range('/b/');
      expect(items.map(({ key }) => key)).toEqual(['/b/1', '/b/10', '/b/2', '/b/~']);
    });

    it('ranges over everything with an empty prefix and over nothing with a strange one', async () => {
      const revision = await put('/a', '1');
      expect((await store.range('')).items).toHaveLength(1);
      expect(await store.range('/zzz')).toEqual({ items: [], revision });
    });

    it('keeps text as it is', async () => {
      const value = 'é\u{1f5c4}\n"\\\u0000 ';
      await put('/a', value);
      expect((await store.get('/a'))?.value).toBe(value);
      await put('/a', '');
      expect((await store.get('/a'))?.value).toBe('');
    });
  });

  describe(`${name}: txn`, () => {
    it('gives all changes of a transaction one revision, one above the last', async () => {
      const before = await put('/a', '0');
      const { succeeded, revision } = await store.txn(
        [],
        [{ put: '/b', value: '1' }, { put: '/c', value: '2' }, { delete: '/a' }],
      );
      expect([succeeded, revision]).toEqual([true, before + 1]);
      const { items } = await store.range('/');
      expect(items.map(({ key, modRevision }) => [key, modRevision])).toEqual([
        ['/b', revision],
        ['/c', revision],
      ]);
    });

    it('changes nothing when one comparison does not hold', async () => {
      const revision = await put('/a', '1');
      const result = await store.txn(
        [
          { key: '/a', modRevision: revision },
          { key: '/b', modRevision: revision },
        ],
        [{ put: '/a', value: '2' }],
      );
      expect(result).toEqual({ succeeded: false, revision });
      expect((await store.get('/a'))?.value).toBe('1');
    });

    it('takes revision 0 for a key that does not exist', async () => {
      const create: [{ key: string; modRevision: number }[], Operation[]] = [
        [{ key: '/a', modRevision: 0 }],
        [{ put: '/a', value: '1' }],
      ];
      expect((await store.txn(...create)).succeeded).toBe(true);
      expect((await store.txn(...create)).succeeded).toBe(false);
      await remove('/a');
      expect((await store.txn(...create)).succeeded).toBe(true);
    });

    it('lets exactly one of many concurrent writers win', async () => {
      const modRevision = await put('/a', '0');
      const attempts = Array.from({ length: 20 }, (_, index) =>
        store.txn([{ key: '/a', modRevision }], [{ put: '/a', value: String(index + 1) }]),
      );
      const results = await Promise.all(attempts);
      expect(results.filter(({ succeeded }) => succeeded)).toHaveLength(1);
      expect((await store.get('/a'))?.modRevision).toBe(modRevision + 1);
    });

    it('makes no revision when it changes nothing', async () => {
      const revision = await put('/a', '1');
      expect(await store.txn([], [])).toEqual({ succeeded: true, revision });
      expect(await store.txn([], [{ delete: '/not-there' }])).toEqual({ succeeded: true, revision });
    });

    it('makes a revision for a put of the same value', async () => {
      const revision = await put('/a', '1');
      expect(await put('/a', '1')).toBe(revision + 1);
    });

    it('refuses a key twice, and changes nothing', async () => {
      const twice: Operation[] = [{ put: '/a', value: '1' }, { delete: '/a' }];
      await expect(store.txn([], twice)).rejects.toMatchObject({ code: 'invalid-request' });
      expect(await store.get('/a')).toBeNull();
    });

    it('takes the most operations and refuses one more', async () => {
      const puts = (count: number): Operation[] =>
        Array.from({ length: count }, (_, index) => ({ put: `/k${index}`, value: '' }));
      await expect(store.txn([], puts(txnOperationsMax + 1))).rejects.toMatchObject({ code: 'invalid-request' });
      expect((await store.range('/k')).items).toHaveLength(0);
      await store.txn([], puts(txnOperationsMax));
      expect((await store.range('/k')).items).toHaveLength(txnOperationsMax);
    });

    it('takes the longest key and value and refuses one byte more', async () => {
      const key = '/'.padEnd(512, 'k');
      const value = 'v'.repeat(valueBytesMax);
      await put(key, value);
      expect((await store.get(key))?.value).toBe(value);
      await expect(put(`${key}k`, '')).rejects.toMatchObject({ code: 'invalid-request' });
      await expect(put('/a', `${value}v`)).rejects.toMatchObject({ code: 'invalid-request' });
    });

    it.each(['', ' ', '/a b', '/é', '/a\n'])('refuses the key %j', async (key) => {
      await expect(put(key, '')).rejects.toMatchObject({ code: 'invalid-request' });
      await expect(store.get(key)).rejects.toMatchObject({ code: 'invalid-request' });
    });

    it('keeps what it acknowledged', async () => {
      const revision = await put('/a', '1');
      const again = await tested.reopen();
      expect(await again.get('/a')).toMatchObject({ value: '1', modRevision: revision });
      expect((await again.txn([], [{ put: '/b', value: '' }])).revision).toBe(revision + 1);
    });
  });

  describe(`${name}: watch`, () => {
    it('tells what changed since a revision, then what changes', async () => {
      const first = await put('/w/a', '1');
      await put('/other', 'x');
      const watched = new Watched(store, '/w/', first);
      expect((await watched.next()).revision).toBe(first);
      const second = await store.txn(
        [],
        [{ put: '/w/b', value: '2' }, { delete: '/w/a' }, { put: '/other', value: 'y' }],
      );
      const batch = await watched.next();
      expect(batch.revision).toBe(second.revision);
      expect(batch.events.map(({ kind, key }) => [kind, key])).toEqual(
        expect.arrayContaining([
          ['put', '/w/b'],
          ['delete', '/w/a'],
        ]),
      );
      expect(batch.events).toHaveLength(2);
      await watched.end();
    });

    it('misses nothing between a range and the watch from the revision after it', async () => {
      await put('/w/a', '1');
      const { revision } = await store.range('/w/');
      const later = await put('/w/b', '2');
      const watched = new Watched(store, '/w/', revision + 1);
      expect((await watched.next()).revision).toBe(later);
      await watched.end();
    });

    it('misses nothing that changes while a batch is being looked at', async () => {
      const first = await put('/w/a', '1');
      const watched = new Watched(store, '/w/', first);
      await watched.next();
      const revisions = [await put('/w/a', '2'), await put('/w/a', '3'), await put('/w/a', '4')];
      const seen = [await watched.next(), await watched.next(), await watched.next()];
      expect(seen.map(({ revision }) => revision)).toEqual(revisions);
      await watched.end();
    });

    it('leaves out what lies before a revision in the future', async () => {
      const revision = await put('/w/a', '1');
      const watched = new Watched(store, '/w/', revision + 2);
      const next = watched.next();
      await put('/w/a', '2');
      const awaited = await put('/w/a', '3');
      expect((await next).revision).toBe(awaited);
      await watched.end();
    });

    it('tells the whole item of a put', async () => {
      const created = await put('/w/a', '1');
      const watched = new Watched(store, '/w/', created);
      const [event] = (await watched.next()).events;
      expect(event).toEqual({ kind: 'put', key: '/w/a', item: await store.get('/w/a') });
      await watched.end();
    });

    it('refuses a revision that is compacted away', async () => {
      const first = await put('/w/a', '1');
      await put('/w/a', '2');
      const third = await put('/w/a', '3');
      await tested.compact(third);
      await expect(new Watched(store, '/w/', first).next()).rejects.toMatchObject({ code: 'revision-compacted' });
      expect((await store.get('/w/a'))?.value).toBe('3');
      const watched = new Watched(store, '/w/', third + 1);
      const fourth = await put('/w/a', '4');
      expect((await watched.next()).revision).toBe(fourth);
      await watched.end();
    });

    it('ends when it is told to, also while it waits', async () => {
      const revision = await put('/w/a', '1');
      const watched = new Watched(store, '/w/', revision + 1);
      const ended = watched.rest();
      await watched.end();
      expect(await ended).toEqual([]);
    });

    it('fails when the store closes', async () => {
      const revision = await put('/w/a', '1');
      const next = new Watched(store, '/w/', revision + 1).next();
      await Promise.all([expect(next).rejects.toMatchObject({ code: 'store-closed' }), store.close()]);
      await expect(store.range('/')).rejects.toMatchObject({ code: 'store-closed' });
    });
  });

  describe(`${name}: lease`, () => {
    it('deletes its keys when its time is over, and only those', async () => {
      const lease = await store.lease(1);
      await put('/plain', 'x');
      const { revision } = await store.txn(
        [],
        [
          { put: '/l/a', value: '1', lease: lease.id },
          { put: '/l/b', value: '2', lease: lease.id },
        ],
      );
      expect((await store.get('/l/a'))?.lease).toBe(lease.id);
      const watched = new Watched(store, '/', revision + 1);
      const { events } = await watched.next();
      expect(events.map(({ kind, key }) => `${kind} ${key}`).sort()).toEqual(['delete /l/a', 'delete /l/b']);
      expect(await store.get('/plain')).not.toBeNull();
      await watched.end();
      await expect(lease.keepAlive()).rejects.toMatchObject({ code: 'lease-not-found' });
    });

    it('deletes its keys at once when it is revoked, and can be revoked again', async () => {
      const lease = await store.lease(3600);
      await put('/l/a', '1', lease.id);
      await lease.revoke();
      expect(await store.get('/l/a')).toBeNull();
      await lease.revoke();
      await expect(lease.keepAlive()).rejects.toMatchObject({ code: 'lease-not-found' });
    });

    it('lets go of a key that is put without it', async () => {
      const lease = await store.lease(3600);
      await put('/l/a', '1', lease.id);
      await put('/l/a', '2');
      await lease.revoke();
      expect(await store.get('/l/a')).toMatchObject({ value: '2', lease: null });
    });

    it('lives on while it is kept alive', async () => {
      const kept = await store.lease(2);
      const marker = await store.lease(1);
      const revision = await put('/l/kept', '1', kept.id);
      await put('/l/marker', '1', marker.id);
      const watched = new Watched(store, '/l/', revision + 2);
      // Each marker ends after a second or so: three of them outlast the two seconds of the lease.
      for (const last of [false, false, true]) {
        await watched.next();
        await kept.keepAlive();
        if (!last) await put('/l/marker', '1', (await store.lease(1)).id);
        if (!last) await watched.next();
      }
      expect(await store.get('/l/kept')).not.toBeNull();
      await watched.end();
    });

    it('cannot be used after its end, and such a transaction changes nothing', async () => {
      const lease = await store.lease(3600);
      await lease.revoke();
      const both = store.txn(
        [],
        [
          { put: '/a', value: '1' },
          { put: '/l/a', value: '1', lease: lease.id },
        ],
      );
      await expect(both).rejects.toMatchObject({ code: 'lease-not-found' });
      expect(await store.get('/a')).toBeNull();
    });

    it.each([0, -1, 1.5, Number.NaN])('refuses to live for %d seconds', async (ttlSeconds) => {
      await expect(store.lease(ttlSeconds)).rejects.toMatchObject({ code: 'invalid-request' });
    });
  });
}

/** A watch to take batches from one by one. */
class Watched {
  private readonly ending = new AbortController();
  private readonly batches: AsyncIterator<WatchBatch>;

  constructor(store: KeyValueStore, prefix: string, fromRevision: number) {
    this.batches = store.watch(prefix, fromRevision, this.ending.signal)[Symbol.asyncIterator]();
  }

  /** The next batch; rejects if none comes in time. */
  async next(): Promise<WatchBatch> {
    const late = setTimeout(() => this.ending.abort(), eventDeadlineMs);
    const { value, done } = await this.batches.next().finally(() => clearTimeout(late));
    if (done) throw new Error('the watch ended without another batch');
    return value;
  }

  /** All batches until the end. */
  async rest(): Promise<WatchBatch[]> {
    const batches: WatchBatch[] = [];
    for (let result = await this.batches.next(); !result.done; result = await this.batches.next())
      batches.push(result.value);
    return batches;
  }

  async end(): Promise<void> {
    this.ending.abort();
    await this.batches.return?.();
  }
}
