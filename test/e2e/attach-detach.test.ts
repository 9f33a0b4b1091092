/** Attaching, detaching and deleting over REST, seen by real clients and on the disk. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { NbdConnection, NbdOptionError } from '../support/nbd-connection.js';
import { optionError } from '../support/nbd-wire.js';
import { RestError } from '../support/real-rest.js';
import { eventually } from '../support/real-deadline.js';
import { sharedCairn, volumeName } from '../support/real-fixture.js';

const size = '64MiB';

describe.each(['node', 'volume'] as const)('isolation %s', (isolation) => {
  const cairn = sharedCairn({ isolation });

  it('data written in one attachment is there in the next, ten times over', async () => {
    const name = volumeName();
    await cairn().createVolume(name, { size });
    for (let round = 0; round < 10; round += 1) {
      await cairn().attach(name);
      const client = await NbdConnection.open(cairn().address(), name);
      await client.write(round * 4096, Buffer.alloc(4096, round + 1));
      const data = await client.read(0, (round + 1) * 4096);
      expect(Array.from({ length: round + 1 }, (_, block) => data[block * 4096])).toEqual(
        Array.from({ length: round + 1 }, (_, block) => block + 1),
      );
      await client.disconnect();
      await eventually('the client is gone', async () => (await cairn().volume(name)).clients === 0);
      await cairn().detach(name);
    }
    await cairn().deleteVolume(name);
  });

  it('a detached volume is not served', async () => {
    const name = volumeName();
    await cairn().serveVolume(name, { size });
    await cairn().detach(name);
    const refused = NbdConnection.open(cairn().address(), name);
    await expect(refused).rejects.toMatchObject({ reply: optionError.unknown });
    await expect(refused).rejects.toBeInstanceOf(NbdOptionError);
    await cairn().deleteVolume(name);
  });

  it('a detach is refused while a client is connected, and with force disconnects it', async () => {
    const name = volumeName();
    await cairn().serveVolume(name, { size });
    const client = await NbdConnection.open(cairn().address(), name);
    await client.write(0, Buffer.alloc(4096, 7));
    await eventually('the client is counted', async () => (await cairn().volume(name)).clients === 1);
    const refused: unknown = await cairn()
      .detach(name)
      .catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(RestError);
    expect((refused as RestError).code).toBe('volume-in-use');
    await client.read(0, 4096);
    await cairn().detach(name, true);
    await client.stream.closed;
    await cairn().deleteVolume(name);
  });

  it('maintenance holds a volume open and serves it to nobody', async () => {
    const name = volumeName();
    await cairn().createVolume(name, { size });
    expect(await cairn().attach(name, 'none')).toMatchObject({ state: 'attached', frontend: 'none', uris: [] });
    await expect(NbdConnection.open(cairn().address(), name)).rejects.toMatchObject({ reply: optionError.unknown });
    await cairn().createSnapshot(name, 'quiet');
    await cairn().rest.call('POST', `/v1/volumes/${name}/snapshots/quiet/revert`);
    await cairn().deleteVolume(name);
  });

  it('a deleted volume leaves no file behind', async () => {
    const name = volumeName();
    await cairn().serveVolume(name, { size });
    const client = await NbdConnection.open(cairn().address(), name);
    await client.write(0, Buffer.alloc(2 ** 20, 1));
    await client.disconnect();
    expect((await cairn().volume(name)).allocatedBytes).toBeGreaterThanOrEqual(2 ** 20);
    await cairn().deleteVolume(name);
    const replicas = join(cairn().pool, 'replicas');
    await eventually(
      'its files are gone',
      () => !existsSync(replicas) || !readdirSync(replicas).some((entry) => entry.startsWith(name)),
    );
    expect((await cairn().rest.send('GET', `/v1/volumes/${name}`)).status).toBe(404);
  });

  it('two volumes are served side by side and never mix', async () => {
    const [one, two] = [volumeName(), volumeName()];
    await cairn().serveVolume(one, { size });
    await cairn().serveVolume(two, { size, blockSize: 512 });
    const clients = await Promise.all([one, two].map((name) => NbdConnection.open(cairn().address('unix'), name)));
    expect(clients.map(({ blockSize }) => blockSize)).toEqual([4096, 512]);
    await Promise.all(clients.map((client, index) => client.write(0, Buffer.alloc(8192, index + 1))));
    const data = await Promise.all(clients.map((client) => client.read(0, 8192)));
    expect(data.map((bytes) => bytes.every((byte) => byte === bytes[0]) && bytes[0])).toEqual([1, 2]);
    await Promise.all(clients.map((client) => client.disconnect()));
    for (const name of [one, two]) await cairn().deleteVolume(name);
  });
});
