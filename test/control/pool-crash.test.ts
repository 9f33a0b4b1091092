/**
 * The service dies in the middle of adding or removing an encrypted pool: before or after each call to the store or the kernel. A new one, or the
 * command again, must bring everything into a state that could have been asked for, and never format what holds data.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createControlPlane, type ControlPlane } from '../../src/control/control-plane.js';
import { EmbeddedStore } from '../../src/control/store/embedded-store.js';
import { FakeNodeEngine } from '../support/fake-node-engine.js';
import { FakeHost, FakePoolDevices } from '../support/fake-pool-devices.js';
import { Fuse } from '../support/fuse.js';

const stepsMax = 80;
const request = { name: 'fast', encryption: { device: '/dev/sdb' } };

let directory: string;
let store: EmbeddedStore;
let host: FakeHost;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'cairn-pool-crash-'));
  store = await EmbeddedStore.open(join(directory, 'store'));
});
afterEach(async () => {
  await store.close();
  await rm(directory, { recursive: true });
});

function controlOver(fuse?: Fuse): ControlPlane {
  const devices = new FakePoolDevices(host);
  return createControlPlane({
    store: fuse?.guard(store) ?? store,
    engine: new FakeNodeEngine(),
    poolDevices: fuse?.guard(devices) ?? devices,
    dataDirectory: directory,
    pools: [join(directory, 'pool')],
    log: () => {},
    now: () => new Date(0),
    reconcilerTimes: { periodMs: 60_000, retryMinMs: 60_000, retryMaxMs: 60_000 },
  });
}

type Operation = (control: ControlPlane) => Promise<unknown>;

/** Runs `operation` with a death after each number of steps, with or without a reboot, then `after` over what is left. */
async function atEveryStep(prepare: Operation, operation: Operation, after: Operation): Promise<void> {
  for (const reboots of [false, true])
    for (let steps = 0, end = ''; end !== 'answered'; steps++) {
      expect(steps).toBeLessThan(stepsMax);
      for (const { key } of (await store.range('/')).items) await store.txn([], [{ delete: key }]);
      host = new FakeHost();
      host.addDisk('/dev/sdb');
      host.passphrases.set('fast', 'correct horse');
      await prepare(controlOver());
      const fuse = new Fuse(steps);
      end = await Promise.race([operation(controlOver(fuse)).then(() => 'answered'), fuse.blown]);
      if (reboots) host.reboot();
      await after(controlOver());
    }
}

async function afterRestart(control: ControlPlane): Promise<void> {
  await control.poolKeeper.start();
  await control.parts.mutex.idle();
  control.poolKeeper.stop();
}

const add: Operation = (control) => control.poolOperations.add(request);
const remove: Operation = (control) => control.poolOperations.remove('fast');
const state = async (control: ControlPlane) => (await control.pools.list()).find(({ name }) => name === 'fast')?.state;

describe('a death while a pool is being added', () => {
  it('leaves a whole pool or none, and a blank device', async () => {
    await atEveryStep(
      async () => {},
      add,
      async (control) => {
        await afterRestart(control);
        const found = await state(control);
        if (found === undefined) expect(host.disk('/dev/sdb')).toMatchObject({ luks: null, fileSystem: null });
        else expect([found, host.disk('/dev/sdb').fileSystem?.isWhole]).toEqual(['ready', true]);
      },
    );
  });

  it('is made good by the same command', async () => {
    await atEveryStep(
      async () => {},
      add,
      async (control) => {
        await add(control).catch((error: unknown) => expect(error).toMatchObject({ code: 'pool-exists' }));
        expect(host.disk('/dev/sdb').fileSystem?.isWhole).toBe(true);
      },
    );
  });
});

describe('a death while a pool is being removed', () => {
  it('leaves it removed or usable, with all that it holds', async () => {
    await atEveryStep(add, remove, async (control) => {
      await afterRestart(control);
      expect([undefined, 'ready']).toContain(await state(control));
      expect(host.disk('/dev/sdb').fileSystem).toEqual({ isWhole: true, id: 1 });
    });
  });

  it('never removes one in which volumes live', async () => {
    await atEveryStep(
      async (control) => {
        await add(control);
        const [volume] = await control.pools.list();
        const made = (await control.pools.list()).find(({ name }) => name === 'fast');
        await control.parts.records.volumes.create({
          ...volumeRecord,
          pool: made?.directory ?? volume?.directory ?? '',
        });
      },
      (control) => remove(control).catch((error: unknown) => expect(error).toMatchObject({ code: 'pool-in-use' })),
      async (control) => {
        await afterRestart(control);
        await afterRestart(control);
        expect(await control.parts.records.pools.get('fast')).toMatchObject({ record: { state: 'ready' } });
        expect(host.mounts.size).toBe(1);
      },
    );
  });
});

const volumeRecord = {
  name: 'db',
  id: '00000000-0000-4000-8000-000000000001',
  replicaId: '00000000-0000-4000-8000-000000000002',
  sizeBytes: 4096,
  blockSize: 4096 as const,
  cacheMode: 'none' as const,
  state: 'ready' as const,
  frontend: null,
  created: '1970-01-01T00:00:00.000Z',
};
