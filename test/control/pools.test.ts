/** Pools over REST, on a host in memory: added, there again after restarts and reboots, away and back, removed. */
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Pool } from '../../src/api/node-schemas.js';
import { Validator } from '../../src/api/validation.js';
import { CairnError } from '../../src/errors.js';
import type { FakeDisk } from '../support/fake-pool-devices.js';
import { eventually, RunningService } from '../support/running-service.js';

const device = '/dev/sdb';
const db = { params: { name: 'db' } };

let service: RunningService;
let disk: FakeDisk;
beforeEach(async () => {
  service = await RunningService.start({ pools: ['/proc'] }); // which has no room: volumes go elsewhere
  disk = service.host.addDisk(device);
  service.host.passphrases.set('fast', 'correct horse');
});
afterEach(() => service.end());

function add(): Promise<Pool> {
  return service.client.addPool({ body: { name: 'fast', encryption: { device } } });
}

async function pool(): Promise<Pool | undefined> {
  return (await service.client.listPools()).pools.find(({ name }) => name === 'fast');
}

async function withVolume(): Promise<void> {
  await add();
  await service.client.createVolume({ body: { name: 'db', size: '1GiB' } });
  await service.client.attachVolume(db);
}

async function afterReboot(): Promise<void> {
  await service.stop(true);
  service.host.reboot();
  await service.restart();
}

async function kinds(): Promise<string[]> {
  return (await service.client.listEvents()).events.map(({ kind }) => kind);
}

describe('an encrypted pool', () => {
  it('is a LUKS2 device that is mounted beneath the data directory, and volumes live there', async () => {
    const made = await add();
    const directory = join(service.directory, 'pools', 'fast');
    expect(new Validator(Pool).errorsIn(made, 'body')).toEqual([]);
    expect(made).toMatchObject({ name: 'fast', directory, state: 'ready', reason: null });
    expect(made.encryption).toMatchObject({ device, provider: 'file', key: 'fast', fileSystem: 'ext4' });
    expect(disk.luks).toEqual({ uuid: made.encryption?.uuid, passphrase: 'correct horse' });
    expect(service.host.mounts.get(directory)).toBe('cairn-fast');
    await service.client.createVolume({ body: { name: 'db', size: '1GiB' } });
    expect([...service.dataPlane.replicas.keys()]).toEqual([expect.stringContaining(`${directory}/replicas/`)]);
    expect(await kinds()).toContain('pool-added');
  });

  it('is named for its device unless it is given a name', async () => {
    service.host.passphrases.set('sdb', 'correct horse');
    expect(await service.client.addPool({ body: { encryption: { device } } })).toMatchObject({ name: 'sdb' });
  });

  it('stays open while the service restarts', async () => {
    await withVolume();
    service.host.passphrases.clear();
    await service.restart();
    expect(await pool()).toMatchObject({ state: 'ready' });
    expect(await service.client.getVolume(db)).toMatchObject({ state: 'attached' });
  });

  it('is opened again after a reboot, by its UUID, and its volumes are attached', async () => {
    await withVolume();
    service.host.rename(device, '/dev/sdc');
    await afterReboot();
    await eventually(async () => (await service.client.getVolume(db)).state).toBe('attached');
    expect(await kinds()).not.toContain('volume-faulted');
    expect(service.host.made).toBe(1);
  });

  it('says why it is away, faults its volumes with that, and all come back by themselves', async () => {
    await withVolume();
    service.host.passphrases.clear();
    await afterReboot();
    await eventually(async () => (await pool())?.state).toBe('unavailable');
    expect(await pool()).toMatchObject({ reason: expect.stringContaining('There is no key fast') as string });
    await eventually(async () => (await service.client.getVolume(db)).reason).toMatch(
      /Pool fast, where the volume lives, is not there: There is no key fast/,
    );
    expect(await kinds()).toContain('pool-unavailable');
    service.host.passphrases.set('fast', 'wrong');
    await eventually(async () => (await pool())?.reason).toMatch(/no key slot opens/);
    service.host.passphrases.set('fast', 'correct horse');
    await eventually(async () => (await service.client.getVolume(db)).state).toBe('attached');
    expect(await kinds()).toContain('pool-recovered');
  });

  it('takes no volume, and lets none be attached or deleted, while nothing is mounted there', async () => {
    await withVolume();
    await service.client.detachVolume(db);
    service.host.reboot();
    await service.client.createVolume({ body: { name: 'other', size: '1GiB' } });
    const directory = join(service.directory, 'pools', 'fast');
    const replicas = [...service.dataPlane.replicas.keys()];
    expect(replicas.filter((each) => each.startsWith(directory))).toHaveLength(1);
    await expect(service.client.attachVolume(db)).rejects.toMatchObject({ code: 'pool-unavailable' });
    await expect(service.client.deleteVolume(db)).rejects.toMatchObject({ code: 'pool-unavailable' });
    expect(await service.client.getVolume(db)).toMatchObject({ state: 'detached' });
  });

  it('comes back when its device was taken away while it was mounted', async () => {
    await add();
    disk.isPresent = false;
    await service.restart();
    await eventually(async () => (await pool())?.reason).toMatch(
      /There is no device with the LUKS2 header .*\/dev\/sdb/,
    );
    disk.isPresent = true;
    service.host.rename(device, '/dev/sdc');
    await eventually(async () => (await pool())?.state).toBe('ready');
    expect(service.host.mappings.get('cairn-fast')).toMatchObject({ path: '/dev/sdc' });
  });
});

describe('a pool cannot be added', () => {
  async function refused(code: string): Promise<void> {
    const before = structuredClone(disk);
    await expect(add()).rejects.toMatchObject({ code });
    expect(disk).toEqual(before);
    expect(await pool()).toBeUndefined();
    expect(service.host.mappings.size).toBe(0);
  }

  it('on a device that holds something', async () => {
    disk.signature = 'ext4';
    await refused('device-not-blank');
  });

  it('on one that is too small', async () => {
    disk.sizeBytes = 64 * 2 ** 20 - 1;
    await refused('invalid-request');
    disk.sizeBytes = 64 * 2 ** 20;
    await add();
  });

  it('without device-mapper', async () => {
    service.host.hostError = new CairnError('device-mapper-unavailable', 'There is none.');
    await refused('device-mapper-unavailable');
  });

  it('without its key', async () => {
    service.host.passphrases.clear();
    await refused('key-unavailable');
    service.host.passphrases.set('fast', 'later');
    await add();
  });

  it('under a name that is taken', async () => {
    await add();
    service.host.addDisk('/dev/sdc');
    const other = { name: 'fast', encryption: { device: '/dev/sdc' } };
    await expect(service.client.addPool({ body: other })).rejects.toMatchObject({ code: 'pool-exists' });
  });

  it('with a directory and a device, or with neither', async () => {
    const both = { name: 'fast', directory: service.directory, encryption: { device } };
    for (const body of [both, { name: 'fast' }])
      await expect(service.client.addPool({ body })).rejects.toMatchObject({ code: 'invalid-request' });
  });
});

describe('removing a pool', () => {
  it('is refused while volumes live there', async () => {
    await withVolume();
    await expect(service.client.removePool({ params: { name: 'fast' } })).rejects.toMatchObject({
      code: 'pool-in-use',
      detail: expect.stringContaining('db') as string,
    });
    expect(await pool()).toMatchObject({ state: 'ready' });
    await service.client.detachVolume(db);
    await service.client.deleteVolume(db);
    await service.client.removePool({ params: { name: 'fast' } });
  });

  it('unmounts and closes it, and leaves on the device what it holds', async () => {
    await add();
    const held = structuredClone(disk);
    await service.client.removePool({ params: { name: 'fast' } });
    expect(await pool()).toBeUndefined();
    expect(disk).toEqual(held);
    expect([service.host.mounts.size, service.host.mappings.size]).toEqual([0, 0]);
  });

  it('is refused while files are open, and the pool goes on', async () => {
    const { directory } = await add();
    service.host.busy.add(directory);
    await expect(service.client.removePool({ params: { name: 'fast' } })).rejects.toMatchObject({
      code: 'pool-in-use',
    });
    expect(await pool()).toMatchObject({ state: 'ready' });
  });

  it('of a name that nobody has added is an error', async () => {
    await expect(service.client.removePool({ params: { name: 'none' } })).rejects.toMatchObject({
      code: 'pool-not-found',
    });
  });
});

describe('a pool in a directory', () => {
  const directory = () => join(service.directory, 'disks');

  it('is used as long as the directory is there', async () => {
    mkdirSync(directory());
    await service.client.addPool({ body: { name: 'fast', directory: directory() } });
    await service.client.createVolume({ body: { name: 'db', size: '1GiB' } });
    expect([...service.dataPlane.replicas.keys()]).toEqual([expect.stringContaining(directory())]);
    await service.restart();
    expect(await pool()).toMatchObject({ directory: directory(), state: 'ready', encryption: null });
  });

  it('must be there, and must not overlap with another', async () => {
    const body = { name: 'fast', directory: directory() };
    await expect(service.client.addPool({ body })).rejects.toMatchObject({ code: 'invalid-request' });
    expect(existsSync(directory())).toBe(false);
    mkdirSync(join(directory(), 'inner'), { recursive: true });
    await service.client.addPool({ body });
    for (const other of [directory(), join(directory(), 'inner'), service.directory])
      await expect(service.client.addPool({ body: { name: 'other', directory: other } })).rejects.toMatchObject({
        code: 'pool-exists',
      });
  });
});
