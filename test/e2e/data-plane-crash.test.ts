/** A data plane that dies takes no acknowledged write with it, and serves again at the same address within a second. */
import { availableParallelism, loadavg } from 'node:os';
import { describe, expect, it } from 'vitest';
import { TaggedLoad } from '../support/nbd-load.js';
import { NbdConnection } from '../support/nbd-connection.js';
import { freshCairn } from '../support/real-fixture.js';
import type { RealCairn } from '../support/real-cairn.js';
import { eventually } from '../support/real-deadline.js';
import { isRunning } from '../support/real-process.js';

/** The promise is for a machine with a CPU to spare: starting a process waits for one too. */
const outageMsMax = (loadavg()[0] ?? 0) > availableParallelism() ? 3_000 : 1_000;

function loadOn(cairn: RealCairn, volume: string, transport: 'tcp' | 'unix' = 'tcp'): TaggedLoad {
  return new TaggedLoad({ address: cairn.address(transport), volume, blocks: 4096, depth: 8, seed: 2 });
}

describe.each([
  { isolation: 'node', transport: 'tcp' },
  { isolation: 'node', transport: 'unix' },
  { isolation: 'volume', transport: 'tcp' },
] as const)('isolation $isolation over $transport', ({ isolation, transport }) => {
  it('kill -9 under load loses nothing and costs less than a second', async () => {
    const cairn = await freshCairn({ isolation });
    await cairn.serveVolume('db', { size: '64MiB' });
    const load = loadOn(cairn, 'db', transport);
    load.start();
    await load.progress(2_000);

    const pid = await cairn.holderOf('db');
    process.kill(pid, 'SIGKILL');
    await eventually('the process has ended', () => !isRunning(pid));
    await load.progress(1_000);
    await load.stop();

    expect(load.lostWrites(await load.readTags())).toEqual([]);
    expect(load.disconnections).toBe(1);
    expect(load.longestGapMs).toBeLessThan(outageMsMax);
    expect(await cairn.holderOf('db')).not.toBe(pid);
  });
});

it('kill -9 right after a snapshot, again and again, loses neither snapshot nor writes', async () => {
  const cairn = await freshCairn();
  await cairn.serveVolume('db', { size: '64MiB' });
  const load = loadOn(cairn, 'db');
  load.start();
  for (const round of [1, 2, 3]) {
    await load.progress(300);
    await cairn.createSnapshot('db', `round-${round}`);
    process.kill(await cairn.holderOf('db'), 'SIGKILL');
    await load.progress(300);
  }
  await load.stop();

  expect(load.lostWrites(await load.readTags())).toEqual([]);
  expect((await cairn.snapshots('db')).map(({ name, state }) => [name, state])).toEqual([
    ['round-1', 'ready'],
    ['round-2', 'ready'],
    ['round-3', 'ready'],
  ]);
});

describe('isolation volume', () => {
  it('the death of one process costs exactly one volume', async () => {
    const cairn = await freshCairn({ isolation: 'volume' });
    await cairn.serveVolume('crashing', { size: '64MiB' });
    await cairn.serveVolume('standing', { size: '64MiB' });
    const load = loadOn(cairn, 'standing');
    load.start();
    await load.progress(500);
    process.kill(await cairn.holderOf('crashing'), 'SIGKILL');
    await load.progress(2_000);
    await load.stop();
    expect(load.disconnections).toBe(0);
    expect(load.lostWrites(await load.readTags())).toEqual([]);
  });

  it('the death of the process that listens leaves connections be and new ones come through within a second', async () => {
    const cairn = await freshCairn({ isolation: 'volume' });
    await cairn.serveVolume('db', { size: '64MiB' });
    const load = loadOn(cairn, 'db');
    load.start();
    await load.progress(500);

    const { processes } = await cairn.node();
    const front = processes.find(({ volumes }) => volumes.length === 0);
    expect(front).toBeDefined();
    process.kill(front?.pid ?? 0, 'SIGKILL');
    const outageStart = performance.now();
    await eventually('the listener has ended', () => !isRunning(front?.pid ?? 0));
    const opens = () =>
      NbdConnection.open(cairn.address(), 'db').then(
        (connection) => connection.disconnect().then(() => true),
        () => false,
      );
    await eventually('a new client is served', opens);
    expect(performance.now() - outageStart).toBeLessThan(outageMsMax);

    await load.progress(500);
    await load.stop();
    expect(load.disconnections).toBe(0);
  });
});
