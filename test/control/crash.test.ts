/**
 * The service dies in the middle of an operation: before or after each call to the store or the data plane. A new one over what is left must
 * bring everything into a state that could have been asked for.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createControlPlane, type ControlPlane } from '../../src/control/control-plane.js';
import { EmbeddedStore } from '../../src/control/store/embedded-store.js';
import { FakeDataPlane, FakeNodeEngine } from '../support/fake-node-engine.js';
import { FakePoolDevices } from '../support/fake-pool-devices.js';
import { Fuse } from '../support/fuse.js';

/** No operation takes more steps than this. */
const stepsMax = 60;

let directory: string;
let store: EmbeddedStore;
let dataPlane: FakeDataPlane;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'cairn-crash-'));
  store = await EmbeddedStore.open(directory);
});
afterEach(async () => {
  await store.close();
  await rm(directory, { recursive: true });
});

function controlOver(fuse?: Fuse): ControlPlane {
  const engine = new FakeNodeEngine(dataPlane);
  return createControlPlane({
    store: fuse?.guard(store) ?? store,
    engine: fuse?.guard(engine) ?? engine,
    poolDevices: new FakePoolDevices(),
    dataDirectory: directory,
    pools: [directory],
    log: () => {},
    now: () => new Date(0),
    reconcilerTimes: { periodMs: 60_000, retryMinMs: 1, retryMaxMs: 10 },
  });
}

/** Runs the operation with a death after each number of steps, then a new service, then the check. */
async function atEveryStep(
  prepare: (control: ControlPlane) => Promise<unknown>,
  operation: (control: ControlPlane) => Promise<unknown>,
  check: (control: ControlPlane, hasAnswered: boolean) => Promise<void>,
  /** Before the next service starts. */
  meanwhile: () => Promise<void> = async () => {},
): Promise<void> {
  for (let steps = 0; steps < stepsMax; steps++) {
    await empty();
    await prepare(controlOver());
    const fuse = new Fuse(steps);
    const end = await Promise.race([operation(controlOver(fuse)).then(() => 'answered' as const), fuse.blown]);
    await meanwhile();
    const control = controlOver();
    await control.reconciler.start();
    await control.deletions.idle();
    control.reconciler.stop();
    await checkInvariants(control);
    await check(control, end === 'answered');
    if (end === 'answered') return;
  }
  throw new Error(`the operation took more than ${stepsMax} steps`);
}

async function empty(): Promise<void> {
  dataPlane = new FakeDataPlane();
  dataPlane.isAlive = true;
  for (const { key } of (await store.range('')).items) await store.txn([], [{ delete: key }]);
}

/** What must be true whatever happened. */
async function checkInvariants({ views, parts }: ControlPlane): Promise<void> {
  const volumes = await views.volumes();
  expect(volumes.map(({ state }) => state).filter((state) => state !== 'detached' && state !== 'attached')).toEqual([]);
  expect([...dataPlane.replicas.values()].map(({ volumeId }) => volumeId).sort()).toEqual(
    volumes.map(({ id }) => id).sort(),
  );
  const attached = volumes.filter(({ frontend }) => frontend !== null).map(({ name }) => name);
  expect([...dataPlane.open.keys()].sort()).toEqual(attached.sort());
  const snapshots = (await Promise.all(volumes.map(({ id }) => parts.records.snapshotsOf(id).list(() => {})))).flat();
  const own = [...dataPlane.replicas.values()].flatMap((replica) => replica.layers.filter(({ shared }) => !shared));
  const layers = own.map(({ id }) => id);
  expect(snapshots.map(({ record }) => record.state).filter((state) => state !== 'ready')).toEqual([]);
  expect(layers.filter((id) => !id.startsWith('head-')).sort()).toEqual(
    snapshots.map(({ record }) => record.id).sort(),
  );
  const { items } = await store.range('/cairn/v1/');
  expect(items).toHaveLength(volumes.length + snapshots.length);
}

const create = (control: ControlPlane) => control.volumes.create({ name: 'db', size: '1GiB' });
const withSnapshot = async (control: ControlPlane) => {
  await create(control);
  await control.snapshots.create('db', { name: 'one' });
};
const attached = async (control: ControlPlane) => {
  await withSnapshot(control);
  await control.volumes.attach('db', {});
};

async function names({ views }: ControlPlane): Promise<string[]> {
  return (await views.volumes()).map(({ name }) => name);
}

async function snapshotNames(control: ControlPlane): Promise<string[]> {
  const { record } = await control.volumes.existing('db');
  return (await control.views.snapshots(record)).map(({ name }) => name);
}

async function frontendOf(control: ControlPlane): Promise<string | null> {
  return (await control.volumes.existing('db')).record.frontend;
}

describe('a service that dies at any step of', { timeout: 60_000 }, () => {
  it('creating a volume leaves a whole volume or none', async () => {
    await atEveryStep(
      async () => {},
      create,
      async (control, hasAnswered) => {
        if (hasAnswered) expect(await names(control)).toEqual(['db']);
      },
    );
  });

  it('deleting a volume leaves it or nothing', async () => {
    await atEveryStep(
      withSnapshot,
      (control) => control.volumes.delete('db'),
      async (control, hasAnswered) => {
        const left = await names(control);
        if (hasAnswered) expect(left).toEqual([]);
        if (left.length > 0) expect(await snapshotNames(control)).toEqual(['one']);
      },
    );
  });

  it('attaching a volume leaves it attached or detached', async () => {
    await atEveryStep(
      create,
      (control) => control.volumes.attach('db', {}),
      async (control, hasAnswered) => {
        if (hasAnswered) expect(await frontendOf(control)).toBe('nbd');
      },
    );
  });

  it('detaching a volume leaves it attached or detached', async () => {
    await atEveryStep(
      attached,
      (control) => control.volumes.detach('db', {}),
      async (control, hasAnswered) => {
        if (hasAnswered) expect(await frontendOf(control)).toBeNull();
      },
    );
  });

  it('taking a snapshot leaves a snapshot that can be used or none', async () => {
    await atEveryStep(
      attached,
      (control) => control.snapshots.create('db', { name: 'two' }),
      async (control, hasAnswered) => {
        const left = await snapshotNames(control);
        expect(left).toContain('one');
        if (hasAnswered) expect(left).toContain('two');
        if (!left.includes('two')) await control.snapshots.create('db', { name: 'two' });
        await control.volumes.detach('db', {});
        await control.snapshots.revert('db', 'two');
      },
    );
  });

  it('deleting a snapshot leaves it or nothing of it', async () => {
    await atEveryStep(
      attached,
      (control) => control.snapshots.delete('db', 'one'),
      async (control, hasAnswered) => {
        if (hasAnswered) expect(await snapshotNames(control)).toEqual([]);
      },
    );
  });

  it('cloning a snapshot leaves a whole clone or none', async () => {
    await atEveryStep(
      withSnapshot,
      (control) => control.volumes.create({ name: 'copy', source: { volume: 'db', snapshot: 'one' }, size: '2GiB' }),
      async (control, hasAnswered) => {
        const left = await names(control);
        if (hasAnswered) expect(left).toEqual(['copy', 'db']);
        if (!left.includes('copy')) return;
        const { record } = await control.volumes.existing('copy');
        const replica = [...dataPlane.replicas.values()].find(({ volumeId }) => volumeId === record.id);
        expect([record.sizeBytes, replica?.sizeBytes]).toEqual([2 ** 31, 2 ** 31]);
      },
    );
  });

  it('cloning a snapshot that is deleted before the next service starts leaves no clone', async () => {
    await atEveryStep(
      withSnapshot,
      async (control) => {
        await control.volumes.create({ name: 'copy', source: { volume: 'db', snapshot: 'one' } });
      },
      async () => {},
      async () => {
        for (const replica of dataPlane.replicas.values())
          if (replica.layers.every(({ shared }) => !shared)) replica.layers.splice(0, replica.layers.length - 1);
        const { record } = await controlOver().volumes.existing('db');
        await controlOver().parts.records.snapshotsOf(record.id).removeAll();
      },
    );
  });

  it.each([true, false])(
    'growing a volume leaves it as large as its record says (attached: %s)',
    async (isAttached) => {
      await atEveryStep(
        isAttached ? attached : withSnapshot,
        (control) => control.changes.resize('db', { size: '2GiB' }),
        async (control, hasAnswered) => {
          const { record } = await control.volumes.existing('db');
          if (hasAnswered) expect(record.sizeBytes).toBe(2 ** 31);
          await control.volumes.attach('db', {});
          await control.reconciler.start();
          control.reconciler.stop();
          const [replica] = dataPlane.replicas.values();
          expect(replica?.sizeBytes).toBe(record.sizeBytes);
        },
      );
    },
  );

  it('limiting an attached volume leaves it with the limits that its record has', async () => {
    await atEveryStep(
      attached,
      (control) => control.changes.limit('db', { iops: 500 }),
      async (control, hasAnswered) => {
        const { record } = await control.volumes.existing('db');
        if (hasAnswered) expect(record.limits?.iops).toBe(500);
        expect(dataPlane.open.get('db')?.spec.limits).toEqual(record.limits);
      },
    );
  });

  it('flattening a clone leaves one that is flattened, being flattened, or as it was', async () => {
    await atEveryStep(
      async (control) => {
        await withSnapshot(control);
        await control.volumes.create({ name: 'copy', source: { volume: 'db', snapshot: 'one' } });
      },
      (control) => control.changes.flatten('copy'),
      async (control, hasAnswered) => {
        const { record } = await control.volumes.existing('copy');
        const replica = [...dataPlane.replicas.values()].find(({ volumeId }) => volumeId === record.id);
        expect(record.source?.state === 'flattening').toBe(replica?.flatten !== null);
        if (hasAnswered) expect(replica?.flatten).not.toBeNull();
      },
    );
  });

  it('encrypting a volume anew leaves one that has its new key, is getting it, or was never asked', async () => {
    await atEveryStep(
      (control) => control.volumes.create({ name: 'safe', size: 4096, encryption: {} }),
      (control) => control.keys.reencrypt('safe'),
      async (control, hasAnswered) => {
        const { encryption, id } = (await control.volumes.existing('safe')).record;
        const replica = [...dataPlane.replicas.values()].find(({ volumeId }) => volumeId === id);
        expect((encryption?.reencryption ?? null) !== null).toBe(replica?.reencryption !== null);
        if (hasAnswered) expect(replica?.volumeKey).not.toBe('first');
      },
    );
  });

  it('rotating a key leaves one that opens the volume, and in the end no other', async () => {
    await atEveryStep(
      (control) => control.volumes.create({ name: 'safe', size: 4096, encryption: {} }),
      (control) => control.keys.rotate('safe', { key: 'next' }),
      async (control, hasAnswered) => {
        const { encryption, id } = (await control.volumes.existing('safe')).record;
        const replica = [...dataPlane.replicas.values()].find(({ volumeId }) => volumeId === id);
        expect(replica?.slots).toEqual([{ provider: 'file', key: encryption?.key }]);
        if (hasAnswered) expect(encryption?.key).toBe('next');
      },
    );
  });

  it('reverting to a snapshot leaves the volume usable', async () => {
    await atEveryStep(
      withSnapshot,
      (control) => control.snapshots.revert('db', 'one'),
      async (control) => {
        expect(await snapshotNames(control)).toEqual(['one']);
        await control.snapshots.revert('db', 'one');
        await control.volumes.delete('db');
        expect(await names(control)).toEqual([]);
      },
    );
  });
});

describe('a service that dies while it tidies up', { timeout: 60_000 }, () => {
  it('leaves the rest to the next one', async () => {
    await atEveryStep(
      async (control) => {
        await withSnapshot(control);
        const stored = await control.volumes.existing('db');
        await control.parts.records.volumes.change(stored, { state: 'deleting' });
      },
      async (control) => {
        await control.reconciler.start();
        await control.deletions.idle();
        control.reconciler.stop();
      },
      async (control) => {
        expect(await names(control)).toEqual([]);
      },
    );
  });
});
