/** Snapshots are cuts: whole, consistent, and content again by a revert, however much was written meanwhile. */
import { describe, expect, it } from 'vitest';
import { TaggedLoad, tagBlockBytes, type Tags } from '../support/nbd-load.js';
import { NbdConnection } from '../support/nbd-connection.js';
import { freshCairn } from '../support/real-fixture.js';
import type { RealCairn } from '../support/real-cairn.js';
import { eventually } from '../support/real-deadline.js';

const blocks = 2048;

function loadOn(cairn: RealCairn): TaggedLoad {
  return new TaggedLoad({ address: cairn.address(), volume: 'db', blocks, depth: 8, seed: 3 });
}

async function tagsAfterRevert(cairn: RealCairn, load: TaggedLoad, snapshot: string): Promise<Tags> {
  await cairn.revert('db', snapshot);
  return load.readTags();
}

describe('under load', () => {
  it('a snapshot holds exactly what its moment held, and a revert to any of them brings that back', async () => {
    const cairn = await freshCairn();
    await cairn.serveVolume('db', { size: '64MiB' });
    const load = loadOn(cairn);
    load.start();
    const cuts: { name: string; from: number; to: number }[] = [];
    for (const name of ['first', 'second', 'third']) {
      await load.progress(1_000);
      const from = load.now;
      await cairn.createSnapshot('db', name);
      cuts.push({ name, from, to: load.now });
    }
    await load.progress(1_000);
    await load.stop();
    expect(load.disconnections).toBe(0);

    // Out of order, and twice: a revert destroys no other snapshot.
    for (const index of [2, 0, 1, 2]) {
      const cut = cuts[index];
      if (cut === undefined) throw new Error('no such cut');
      const tags = await tagsAfterRevert(cairn, load, cut.name);
      expect(load.faultsOfCut(tags, cut.from, cut.to)).toEqual([]);
    }
  });

  it('a revert of a detached volume after kill -9 of both processes still finds the cut', async () => {
    const cairn = await freshCairn();
    await cairn.serveVolume('db', { size: '64MiB' });
    const load = loadOn(cairn);
    load.start();
    await load.progress(500);
    await load.stop();
    const before = await load.readTags();
    await cairn.createSnapshot('db', 'cut');
    load.start();
    await load.progress(500);
    await load.stop();
    await cairn.killServe();
    for (const pid of cairn.dataPlanePids()) process.kill(pid, 'SIGKILL');
    await cairn.startServe();
    expect(await tagsAfterRevert(cairn, load, 'cut')).toEqual(before);
  });
});

describe('deleting', () => {
  /** Three layers of 1,024 blocks each, the later two over half of the earlier one. */
  async function layered(cairn: RealCairn): Promise<void> {
    await cairn.serveVolume('db', { size: '64MiB' });
    const client = await NbdConnection.open(cairn.address(), 'db');
    for (const [layer, name] of ['one', 'two', undefined].entries()) {
      for (let block = 0; block < 1024; block += 16) {
        const offset = (layer * 512 + block) * tagBlockBytes;
        await client.write(offset, Buffer.alloc(16 * tagBlockBytes, layer + 1));
      }
      if (name !== undefined) await cairn.createSnapshot('db', name);
    }
    await client.disconnect();
  }

  async function layerAt(cairn: RealCairn, block: number): Promise<number | undefined> {
    const client = await NbdConnection.open(cairn.address(), 'db');
    const data = await client.read(block * tagBlockBytes, tagBlockBytes);
    await client.disconnect();
    return data.every((byte) => byte === data[0]) ? data[0] : undefined;
  }

  async function allocated(cairn: RealCairn): Promise<number> {
    return (await cairn.volume('db')).allocatedBytes ?? 0;
  }

  const merged = (cairn: RealCairn, times: number) =>
    eventually(`${times} merges have finished`, async () => {
      const events = await cairn.events('db');
      return events.filter(({ kind }) => kind === 'merge-finished').length >= times;
    });

  it('merges in the background, keeps the content and gives the space of overwritten blocks back', async () => {
    const cairn = await freshCairn();
    await layered(cairn);
    const before = await allocated(cairn);
    await cairn.deleteSnapshot('db', 'one');
    await merged(cairn, 1);
    expect((await cairn.snapshots('db')).map(({ name }) => name)).toEqual(['two']);
    // 512 blocks of layer one were overwritten in layer two.
    expect(before - (await allocated(cairn))).toBeGreaterThanOrEqual(512 * tagBlockBytes * 0.9);
    expect(await Promise.all([0, 600, 1100, 1600].map((block) => layerAt(cairn, block)))).toEqual([1, 2, 3, 3]);

    await cairn.revert('db', 'two');
    expect(await Promise.all([0, 600, 1100, 1600].map((block) => layerAt(cairn, block)))).toEqual([1, 2, 2, 0]);
  });

  it('works for the newest snapshot too, under load', async () => {
    const cairn = await freshCairn();
    await layered(cairn);
    const load = new TaggedLoad({
      address: cairn.address(),
      volume: 'db',
      blocks: 256,
      firstBlock: 4096,
      depth: 4,
      seed: 4,
    });
    load.start();
    await load.progress(500);
    await cairn.deleteSnapshot('db', 'two');
    await cairn.deleteSnapshot('db', 'one');
    await load.progress(500);
    await merged(cairn, 2);
    await load.stop();
    expect(await cairn.snapshots('db')).toEqual([]);
    expect(load.lostWrites(await load.readTags())).toEqual([]);
    expect(await Promise.all([600, 1100, 1600].map((block) => layerAt(cairn, block)))).toEqual([2, 3, 3]);
    // What is left is each block once: 2,048 and the load's, and what files need besides.
    expect(await allocated(cairn)).toBeLessThan((2048 + 256) * tagBlockBytes * 1.1);
  });

  it('goes on after kill -9 in the middle of a merge', async () => {
    const cairn = await freshCairn();
    await layered(cairn);
    const pid = await cairn.holderOf('db');
    await cairn.deleteSnapshot('db', 'one');
    process.kill(pid, 'SIGKILL');
    await eventually('the space is given back', async () => {
      const volume = await cairn.volume('db').catch(() => undefined);
      const bytes = volume?.allocatedBytes ?? Infinity;
      return bytes < 2800 * tagBlockBytes; // of 3,072, and 2,560 when merged
    });
    expect(await Promise.all([0, 600, 1100, 1600].map((block) => layerAt(cairn, block)))).toEqual([1, 2, 3, 3]);
  });
});
