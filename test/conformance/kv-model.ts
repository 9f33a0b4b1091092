/** Random histories: every KeyValueStore must agree with a map and a list of what was done. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import type {
  Compare,
  KeyValue,
  KeyValueStore,
  Operation,
  WatchBatch,
  WatchEvent,
} from '../../src/control/store/key-value-store.js';
import type { StoreUnderTest } from './kv-store.js';

/** A store that is obviously right: no leases, no durability. Revisions count from the one the real store begins with. */
class Model {
  readonly items = new Map<string, KeyValue>();
  readonly batches: WatchBatch[] = [];

  constructor(public revision: number) {}

  txn(compares: readonly Compare[], operations: readonly Operation[]): boolean {
    if (!compares.every(({ key, modRevision }) => (this.items.get(key)?.modRevision ?? 0) === modRevision))
      return false;
    const events = operations.flatMap((operation) => this.apply(operation, this.revision + 1));
    if (events.length > 0) this.batches.push({ revision: ++this.revision, events });
    return true;
  }

  beneath(prefix: string): KeyValue[] {
    return [...this.items.keys()]
      .filter((key) => key.startsWith(prefix))
      .sort()
      .map((key) => this.items.get(key) as KeyValue);
  }

  private apply(operation: Operation, revision: number): WatchEvent[] {
    if ('delete' in operation)
      return this.items.delete(operation.delete) ? [{ kind: 'delete', key: operation.delete }] : [];
    const key = operation.put;
    const createRevision = this.items.get(key)?.createRevision ?? revision;
    const item = { key, value: operation.value, createRevision, modRevision: revision, lease: null };
    this.items.set(key, item);
    return [{ kind: 'put', key, item }];
  }
}

type Step =
  | { kind: 'txn'; compares: { key: string; stale: boolean }[]; operations: Operation[] }
  | { kind: 'range'; prefix: string }
  | { kind: 'reopen' };

const key = fc.constantFrom('/a', '/a/b', '/a/c', '/ab', '/b', '/b/a', '/c');
const operation = fc.oneof(fc.record({ put: key, value: fc.string({ maxLength: 8 }) }), fc.record({ delete: key }));
const operations = fc.uniqueArray(operation, {
  maxLength: 4,
  selector: (one) => ('put' in one ? one.put : one.delete),
});
const txn = fc.record({
  kind: fc.constant('txn' as const),
  compares: fc.array(fc.record({ key, stale: fc.boolean() }), { maxLength: 2 }),
  operations,
});
const range = fc.record({ kind: fc.constant('range' as const), prefix: fc.constantFrom('', '/', '/a', '/a/', '/d') });
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    { weight: 8, arbitrary: txn },
    { weight: 2, arbitrary: range },
    { weight: 1, arbitrary: fc.constant({ kind: 'reopen' as const }) },
  ),
  { maxLength: 30 },
);

export function describeKeyValueModel(name: string, open: () => Promise<StoreUnderTest>): void {
  it(`${name}: agrees with the model whatever is done to it`, { timeout: 60_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(steps, async (history) => {
        const tested = await open();
        try {
          await compareWithModel(tested, history);
        } finally {
          await tested.dispose();
        }
      }),
      { numRuns: 30 },
    );
  });
}

async function compareWithModel(tested: StoreUnderTest, history: Step[]): Promise<void> {
  let { store } = tested;
  const { revision: start } = await store.range('');
  const model = new Model(start);
  for (const step of history) {
    if (step.kind === 'reopen') store = await tested.reopen();
    else if (step.kind === 'range')
      expect(await store.range(step.prefix)).toEqual({ items: model.beneath(step.prefix), revision: model.revision });
    else await sameTxn(store, model, step);
  }
  expect(await watched(store, start + 1, model.batches.length)).toEqual(model.batches);
}

async function sameTxn(store: KeyValueStore, model: Model, step: Extract<Step, { kind: 'txn' }>): Promise<void> {
  const compares = step.compares.map(({ key: compared, stale }) => {
    const { modRevision } = model.items.get(compared) ?? { modRevision: 0 };
    return { key: compared, modRevision: stale ? modRevision + 1 : modRevision };
  });
  const succeeded = model.txn(compares, step.operations);
  expect(await store.txn(compares, step.operations)).toEqual({ succeeded, revision: model.revision });
}

async function watched(store: KeyValueStore, fromRevision: number, count: number): Promise<WatchBatch[]> {
  const batches: WatchBatch[] = [];
  if (count === 0) return batches;
  for await (const batch of store.watch('/', fromRevision)) {
    batches.push(batch);
    if (batches.length === count) break;
  }
  return batches;
}
