/** Volumes grow under their clients. */
import { describe, expect, it } from 'vitest';
import { NbdConnection } from '../support/nbd-connection.js';
import { cli } from '../support/real-cli.js';
import { TaggedLoad } from '../support/nbd-load.js';
import { freshCairn, sharedCairn, volumeName } from '../support/real-fixture.js';
import { needsTools, run } from '../support/real-tools.js';

const mebibyte = 2 ** 20;

describe.each(['node', 'volume'] as const)('isolation %s', (isolation) => {
  const cairn = sharedCairn({ isolation });

  it('a client that is connected goes on, and one that connects sees the new size', async () => {
    const name = volumeName();
    await cairn().serveVolume(name, { size: 64 * mebibyte });
    const load = new TaggedLoad({ address: cairn().address(), volume: name, blocks: 4096, depth: 8, seed: 9 });
    load.start();
    await load.progress(500);
    expect(await cairn().resize(name, 128 * mebibyte)).toMatchObject({ size: 128 * mebibyte, state: 'attached' });
    await load.progress(500);
    await load.stop();
    expect(load.disconnections).toBe(0);

    const client = await NbdConnection.open(cairn().address(), name);
    expect(client.sizeBytes).toBe(128 * mebibyte);
    expect(await client.read(64 * mebibyte, 4096)).toEqual(Buffer.alloc(4096));
    await client.write(128 * mebibyte - 4096, Buffer.alloc(4096, 7));
    await client.flush();
    await client.disconnect();
    expect(load.lostWrites(await load.readTags())).toEqual([]);

    await cairn().detach(name);
    await cairn().attach(name);
    const again = await NbdConnection.open(cairn().address(), name);
    expect(await again.read(128 * mebibyte - 4096, 4096)).toEqual(Buffer.alloc(4096, 7));
    await again.disconnect();
    await cairn().deleteVolume(name);
  });

  it('a client that was connected before can use what is new', async () => {
    const name = volumeName();
    await cairn().serveVolume(name, { size: 64 * mebibyte });
    const client = await NbdConnection.open(cairn().address(), name);
    await expect(client.write(64 * mebibyte, Buffer.alloc(4096, 1))).rejects.toMatchObject({ errno: 28 });
    await cairn().resize(name, 65 * mebibyte);
    await client.write(64 * mebibyte, Buffer.alloc(4096, 1));
    expect(await client.read(64 * mebibyte, 4096)).toEqual(Buffer.alloc(4096, 1));
    await client.disconnect();
    await cairn().deleteVolume(name);
  });

  it('a detached volume grows by the command line, and its snapshots keep their size', async (context) => {
    needsTools(context, 'nbdinfo');
    const name = volumeName();
    await cairn().createVolume(name, { size: 64 * mebibyte });
    await cairn().createSnapshot(name, 'small');
    expect(await cli(cairn(), 'volume', 'resize', name, '--size', '1GiB')).toMatchObject({
      exitCode: 0,
      stdout: `Volume ${name} has 1GiB now.\n`,
    });
    const refused = await cli(cairn(), 'volume', 'resize', name, '--size', '512MiB');
    expect([refused.exitCode, refused.stderr]).toEqual([1, expect.stringContaining('cannot shrink')]);
    await cairn().attach(name);
    expect((await run('nbdinfo', ['--size', cairn().uri(name)])).trim()).toBe(String(2 ** 30));
    await cairn().revert(name, 'small');
    expect((await run('nbdinfo', ['--size', cairn().uri(name)])).trim()).toBe(String(2 ** 30));
    await cairn().deleteVolume(name);
  });
});

it('growth outlives kill -9 of everything', async () => {
  const cairn = await freshCairn();
  await cairn.serveVolume('db', { size: '64MiB' });
  await cairn.resize('db', '96MiB');
  const client = await NbdConnection.open(cairn.address(), 'db');
  await client.write(80 * mebibyte, Buffer.alloc(4096, 3), { fua: true });
  await cairn.killServe();
  for (const pid of cairn.dataPlanePids()) process.kill(pid, 'SIGKILL');
  await cairn.startServe();
  expect(await cairn.volume('db')).toMatchObject({ size: 96 * mebibyte, state: 'attached' });
  const again = await NbdConnection.open(cairn.address(), 'db');
  expect(again.sizeBytes).toBe(96 * mebibyte);
  expect(await again.read(80 * mebibyte, 4096)).toEqual(Buffer.alloc(4096, 3));
  await again.disconnect();
});
