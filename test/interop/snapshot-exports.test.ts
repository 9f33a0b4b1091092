/** Snapshots served as VOLUME@SNAPSHOT to real clients, while their volume is written to. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { NbdConnection } from '../support/nbd-connection.js';
import { cli } from '../support/real-cli.js';
import { freshCairn } from '../support/real-fixture.js';
import type { RealCairn } from '../support/real-cairn.js';
import { needsTools, run } from '../support/real-tools.js';

const mebibyte = 2 ** 20;

/** `db` with ones in its first MiB, snapshot `one`, then twos. */
async function volumeWithSnapshot(cairn: RealCairn): Promise<void> {
  await cairn.serveVolume('db', { size: 64 * mebibyte });
  const client = await NbdConnection.open(cairn.address(), 'db');
  await client.write(0, Buffer.alloc(mebibyte, 1));
  await cairn.createSnapshot('db', 'one');
  await client.write(0, Buffer.alloc(mebibyte, 2));
  await client.flush();
  await client.disconnect();
}

describe.each(['node', 'volume'] as const)('isolation %s', (isolation) => {
  it('qemu-img and nbdinfo read the URI that snapshot show prints', async (context) => {
    needsTools(context, 'nbdinfo', 'qemu-img');
    const cairn = await freshCairn({ isolation });
    await volumeWithSnapshot(cairn);
    const { stdout } = await cli(cairn, '-o', 'json', 'snapshot', 'show', 'db', 'one');
    const { uris } = JSON.parse(stdout) as { uris: string[] };
    expect(uris).toEqual([cairn.uri('db@one'), cairn.uri('db@one', 'unix')]);
    for (const uri of uris) {
      const { exports } = JSON.parse(await run('nbdinfo', ['--json', uri])) as { exports: object[] };
      expect(exports).toMatchObject([{ 'export-size': 64 * mebibyte, is_read_only: true }]);
    }
    const directory = mkdtempSync(join(tmpdir(), 'cairn-copy-'));
    onTestFinished(() => rmSync(directory, { recursive: true }));
    const copy = join(directory, 'one.qcow2');
    await run('qemu-img', ['convert', '-O', 'qcow2', uris[0] ?? '', copy]);
    await run('qemu-img', ['compare', copy, uris[0] ?? '']);
    await expect(run('qemu-img', ['compare', copy, cairn.uri('db')])).rejects.toThrow(/Command failed/);
  });

  it('one that clients read is not deleted until they are gone', async () => {
    const cairn = await freshCairn({ isolation });
    await volumeWithSnapshot(cairn);
    const client = await NbdConnection.open(cairn.address(), 'db@one');
    await expect(client.write(0, Buffer.alloc(4096))).rejects.toMatchObject({ errno: 1 });
    expect(await client.read(0, mebibyte)).toEqual(Buffer.alloc(mebibyte, 1));
    const refused = await cli(cairn, 'snapshot', 'delete', 'db', 'one');
    expect([refused.exitCode, refused.stderr]).toEqual([
      1,
      expect.stringContaining('Clients read snapshot one of volume db as db@one. Disconnect them'),
    ]);
    expect(await cairn.snapshots('db')).toMatchObject([{ name: 'one', state: 'ready' }]);
    await client.disconnect();
    await expect
      .poll(() => cli(cairn, 'snapshot', 'delete', 'db', 'one'), { timeout: 10_000 })
      .toMatchObject({ exitCode: 0 });
    await expect(NbdConnection.open(cairn.address(), 'db@one')).rejects.toThrow(/option error/);
  });

  it('a volume that is detached takes its snapshots with it', async () => {
    const cairn = await freshCairn({ isolation });
    await volumeWithSnapshot(cairn);
    await cairn.detach('db');
    expect((await cairn.snapshots('db'))[0]).toMatchObject({ name: 'one', uris: [] });
    await expect(NbdConnection.open(cairn.address(), 'db@one')).rejects.toThrow(/option error/);
    await cairn.attach('db');
    const client = await NbdConnection.open(cairn.address(), 'db@one');
    expect(await client.read(0, 4096)).toEqual(Buffer.alloc(4096, 1));
    await expect(cairn.detach('db')).rejects.toMatchObject({ code: 'volume-in-use' });
    await cairn.detach('db', true);
    await client.stream.closed;
  });
});
