/** SIGTERM to everything: flushed, closed, nothing left behind, and all there again at the next start. */
import { describe, expect, it } from 'vitest';
import { NbdConnection } from '../support/nbd-connection.js';
import { freshCairn } from '../support/real-fixture.js';
import { eventually } from '../support/real-deadline.js';

describe.each(['node', 'volume'] as const)('isolation %s', (isolation) => {
  it('data is kept over an end of all processes, and an attached volume is served again unasked', async () => {
    const cairn = await freshCairn({ isolation });
    await cairn.serveVolume('db', { size: '64MiB' });
    const data = Buffer.alloc(64 * 1024, 'cairn ');
    const before = await NbdConnection.open(cairn.address(), 'db');
    await before.write(1 << 20, data);
    await before.disconnect();

    await cairn.stop();
    expect(cairn.dataPlanePids()).toEqual([]);
    await cairn.startServe();

    let after: NbdConnection | undefined;
    await eventually('the volume is served', async () => {
      after = await NbdConnection.open(cairn.address(), 'db').catch(() => undefined);
      return after !== undefined;
    });
    expect((await after?.read(1 << 20, data.length))?.equals(data)).toBe(true);
    await after?.disconnect();
    expect(await cairn.events('db')).not.toContainEqual(expect.objectContaining({ kind: 'unclean-recovery' }));
  });

  it('a client that is connected during the end sees its connection close, not hang', async () => {
    const cairn = await freshCairn({ isolation });
    await cairn.serveVolume('db', { size: '64MiB' });
    const client = await NbdConnection.open(cairn.address(), 'db');
    await client.write(0, Buffer.alloc(4096, 1));
    await cairn.stop();
    await client.stream.closed;
  });
});
