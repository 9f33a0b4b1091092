// What `npm run test:long` runs. Tests print "total: N things"; a part goes on in rounds, each with a seed of its own, until
// the totals that it names are reached.

/** In memory: what these tests are about is not the disk, and the kernel's disk would be the slowest part. */
const inMemory = { CAIRN_TEST_DIRECTORY: '/dev/shm' };

export const longParts = [
  {
    name: 'crash-images',
    filter: 'StorePowerLoss.*',
    environment: { CAIRN_CRASH_IMAGES: '4000', CAIRN_CRASH_SECONDS: '120' },
    goal: { of: 'crash images', count: 200_000 },
  },
  {
    name: 'model',
    filter: 'StoreModel.*',
    environment: { CAIRN_MODEL_OPERATIONS: '100000', ...inMemory },
    goal: { of: 'model operations', count: 10_000_000 },
  },
  {
    name: 'kills',
    filter: 'StoreKill.*',
    environment: { CAIRN_KILL_TEST_SECONDS: '15' },
    goal: { of: 'killed processes', count: 5_000 },
  },
  {
    name: 'histories',
    filter: 'StoreConcurrency.*',
    environment: { CAIRN_HISTORY_STEPS: '5000', ...inMemory },
    goal: { of: 'operations in linearizable histories', count: 5_000_000 },
  },
  {
    name: 'nbd-histories',
    vitest: 'test/e2e/linearizability.test.ts',
    environment: { CAIRN_NBD_HISTORY_SECONDS: '60' },
    goal: { of: 'NBD operations in linearizable histories', count: 2_000_000 },
  },
  { name: 'fuzz', fuzz: true, minutesDefault: 60 },
  { name: 'mutations', mutations: true },
];
