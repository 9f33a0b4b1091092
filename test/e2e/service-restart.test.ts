/** The service may go away and come back at any time; I/O does not notice. */
import { describe, expect, it } from 'vitest';
import { TaggedLoad } from '../support/nbd-load.js';
import { freshCairn } from '../support/real-fixture.js';

/** Longer than any hiccup of a busy machine, far shorter than a reconnect or a restart. */
const gapMsMax = 1_000;

describe.each(['node', 'volume'] as const)('isolation %s', (isolation) => {
  it.each(['SIGKILL', 'SIGTERM'] as const)(
    'a service ended by %s interrupts no I/O, and the next one adopts what runs',
    async (signal) => {
      const cairn = await freshCairn({ isolation });
      await cairn.serveVolume('db', { size: '64MiB' });
      const pids = cairn.dataPlanePids();
      const load = new TaggedLoad({ address: cairn.address(), volume: 'db', blocks: 4096, depth: 8, seed: 1 });
      load.start();
      await load.progress(500);

      if (signal === 'SIGKILL') await cairn.killServe();
      else expect(await cairn.stopServe()).toBe(0);
      await load.progress(500);
      await cairn.startServe();
      await load.progress(500);
      await load.stop();

      expect(cairn.dataPlanePids()).toEqual(pids);
      expect(load.disconnections).toBe(0);
      expect(load.longestGapMs).toBeLessThan(gapMsMax);
      expect(load.lostWrites(await load.readTags())).toEqual([]);
    },
  );

  it('a new service can detach, snapshot and delete what the killed one attached', async () => {
    const cairn = await freshCairn({ isolation });
    await cairn.serveVolume('db', { size: '64MiB' });
    await cairn.killServe();
    await cairn.startServe();

    expect(await cairn.volume('db')).toMatchObject({
      state: 'attached',
      frontend: 'nbd',
      uris: expect.arrayContaining([cairn.uri('db')]) as string[],
    });
    await cairn.createSnapshot('db', 'after');
    expect(await cairn.detach('db')).toMatchObject({ state: 'detached' });
    await cairn.deleteVolume('db');
  });
});
