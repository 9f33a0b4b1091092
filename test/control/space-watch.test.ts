/** Pools that run out of space: told once, and to initiators of their volumes. */
import { beforeEach, expect, it } from 'vitest';
import type { Pool } from '../../src/api/node-schemas.js';
import { SpaceWatch } from '../../src/control/space-watch.js';

const told: [string, boolean][] = [];
const events: string[] = [];
let available = 0;
let away = '';
const volumes = [
  { name: 'iscsi', pool: '/pool', frontend: 'iscsi' },
  { name: 'both', pool: '/pool', frontend: 'both' },
  { name: 'nbd', pool: '/pool', frontend: 'nbd' },
  { name: 'detached', pool: '/pool', frontend: null },
  { name: 'elsewhere', pool: '/other', frontend: 'iscsi' },
];
const pools = {
  list: (): Promise<Pool[]> =>
    Promise.resolve([{ directory: '/pool', sizeBytes: 1000, availableBytes: available }] as Pool[]),
};
const parts = {
  records: { volumes: { list: () => Promise.resolve(volumes.map((record) => ({ record, revision: 1 }))) } },
  engine: {
    setSpaceLow: (volume: string, low: boolean) => {
      if (volume === away) return Promise.reject(new Error('away'));
      told.push([volume, low]);
      return Promise.resolve();
    },
  },
  events: { add: ({ kind }: { kind: string }) => events.push(kind) },
  log: () => {},
};

let watch: SpaceWatch;
beforeEach(() => {
  told.length = events.length = 0;
  away = '';
  watch = new SpaceWatch(parts as unknown as ConstructorParameters<typeof SpaceWatch>[0], pools, 10, 1000);
});

async function lookWith(left: number): Promise<void> {
  available = left;
  await watch.look();
}

it('says once what the service before it may have said otherwise, and nothing while there is enough', async () => {
  await lookWith(101);
  expect(told).toEqual([
    ['iscsi', false],
    ['both', false],
  ]);
  await lookWith(101);
  expect([told.length, events]).toEqual([2, []]);
});

it('tells the others when a data plane does not answer', async () => {
  away = 'iscsi';
  await lookWith(99);
  expect(told).toEqual([['both', true]]);
});

it('tells the initiators of every volume of the pool, and those that come later', async () => {
  await lookWith(99);
  expect(events).toEqual(['pool-space-low']);
  expect(told).toEqual([
    ['iscsi', true],
    ['both', true],
  ]);
  await lookWith(50);
  expect(events).toEqual(['pool-space-low']);
  expect(told).toHaveLength(4);
});

it('takes it back when there is a good deal more, not at the limit itself', async () => {
  await lookWith(99);
  await lookWith(110);
  expect(events).toEqual(['pool-space-low']);
  await lookWith(120);
  expect(events).toEqual(['pool-space-low', 'pool-space-recovered']);
  expect(told.slice(-2)).toEqual([
    ['iscsi', false],
    ['both', false],
  ]);
});
