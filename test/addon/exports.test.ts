/** Exports and listeners of a data plane, seen by clients. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import type { NewExport } from '../../src/engine/native.js';
import { exportOf, listen, openNew, serve, startPlane, whyNoAddon, type TestPlane } from '../support/native-plane.js';
import { NbdConnection, NbdOptionError } from '../support/nbd-connection.js';
import { command, requestHeader } from '../support/nbd-wire.js';
import { needsTools, run } from '../support/real-tools.js';

const mebibyte = 1024 * 1024;

beforeEach((context) => {
  if (whyNoAddon !== null) context.skip(whyNoAddon);
});

describe('addExport', () => {
  it('refuses a name that is taken', async () => {
    const plane = startPlane();
    await openNew(plane, 'volume');
    await plane.native.addExport(exportOf('volume'));
    await expect(plane.native.addExport(exportOf('volume'))).rejects.toMatchObject({ code: 'EXPORT_EXISTS' });
  });

  it('knows no volume that is not open', async () => {
    const { native } = startPlane();
    await expect(native.addExport(exportOf('volume'))).rejects.toMatchObject({ code: 'VOLUME_NOT_OPEN' });
  });

  const handover = { path: '/run/cairn/handover.sock' };
  const remote = { volume: null, handover };
  it.each<[string, Partial<NewExport>]>([
    ['no name', { name: '' }],
    ['a name of 4097 bytes', { name: 'x'.repeat(4097) }],
    ['a description of 4097 bytes', { description: 'x'.repeat(4097) }],
    ['no hand-over path', { ...remote, handover: { ...handover, path: '' } }],
  ])('refuses %s', async (_what, changes) => {
    const plane = startPlane();
    await openNew(plane, 'volume');
    await expect(plane.native.addExport(exportOf('volume', changes))).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
  });

  it('takes a name of 4096 bytes', async () => {
    const plane = startPlane();
    await openNew(plane, 'volume');
    const name = 'x'.repeat(4096);
    await plane.native.addExport(exportOf('volume', { name }));
    await (await NbdConnection.open(await listen(plane), name)).disconnect();
  });

  it('offers a read-only export that refuses writes', async () => {
    const plane = startPlane();
    await openNew(plane, 'volume');
    await plane.native.addExport(exportOf('volume', { readOnly: true }));
    const client = await NbdConnection.open(await listen(plane), 'volume');
    await expect(client.write(0, Buffer.alloc(4096))).rejects.toMatchObject({ errno: 1 });
    await client.disconnect();
  });
});

describe('removeExport', () => {
  it('knows no export that is not there', async () => {
    const { native } = startPlane();
    await expect(native.removeExport('volume', true)).rejects.toMatchObject({ code: 'EXPORT_MISSING' });
  });

  it('refuses while clients are connected, unless forced: then they are disconnected', async () => {
    const plane = startPlane();
    await openNew(plane, 'volume');
    const client = await NbdConnection.open(await serve(plane, 'volume'), 'volume');
    await expect(plane.native.removeExport('volume', false)).rejects.toMatchObject({ code: 'VOLUME_IN_USE' });
    await client.write(0, Buffer.alloc(4096));
    await plane.native.removeExport('volume', true);
    await client.stream.closed;
    await plane.native.closeVolume('volume');
  });

  it('lets one of two removals at the same time find nothing', async () => {
    const plane = startPlane();
    await openNew(plane, 'volume');
    await plane.native.addExport(exportOf('volume'));
    const twice = await Promise.allSettled([1, 2].map(() => plane.native.removeExport('volume', true)));
    expect(twice).toMatchObject([{ status: 'fulfilled' }, { status: 'rejected', reason: { code: 'EXPORT_MISSING' } }]);
    await plane.native.closeVolume('volume');
  });

  it('keeps the volume in use for an export that takes the name before the last client has gone', async () => {
    const plane = startPlane();
    await openNew(plane, 'volume', { sizeBytes: 64 * mebibyte });
    const address = await serve(plane, 'volume');
    const slow = await deafClient(plane, 'volume');
    const removal = plane.native.removeExport('volume', true);
    await expect(NbdConnection.open(address, 'volume')).rejects.toBeInstanceOf(NbdOptionError);
    await plane.native.addExport(exportOf('volume'));
    await expect(plane.native.closeVolume('volume')).rejects.toMatchObject({ code: 'VOLUME_IN_USE' });
    slow.stream.destroy();
    await removal;
    await expect(plane.native.closeVolume('volume')).rejects.toMatchObject({ code: 'VOLUME_IN_USE' });
    const client = await NbdConnection.open(address, 'volume');
    await client.write(0, Buffer.alloc(4096));
    await client.disconnect();
  });
});

/** A client that asks for more than sockets hold and takes no answer, so that its requests stay in flight. */
async function deafClient(plane: TestPlane, name: string): Promise<NbdConnection> {
  const client = await NbdConnection.open(await listen(plane), name);
  client.stream.pause();
  for (let at = 0n; at < 32n; ++at) {
    client.stream.write(requestHeader(command.read, at, at * BigInt(mebibyte), mebibyte));
  }
  return client;
}

describe('listenTcp', () => {
  it('says which port the system chose, where clients are served', async () => {
    const plane = startPlane();
    await openNew(plane, 'volume');
    await plane.native.addExport(exportOf('volume'));
    const address = await plane.native.listenTcp('127.0.0.1', 0);
    expect(address).toEqual({ host: '127.0.0.1', port: expect.any(Number) });
    await (await NbdConnection.open(address, 'volume')).disconnect();
  });

  it('ends by unlistenTcp, with a client that stays', async () => {
    const plane = startPlane();
    await openNew(plane, 'volume');
    await plane.native.addExport(exportOf('volume'));
    const address = await plane.native.listenTcp('127.0.0.1', 0);
    const client = await NbdConnection.open(address, 'volume');
    await plane.native.unlistenTcp(address.host, address.port);
    await plane.native.listenTcp('0.0.0.0', address.port);
    expect(await client.read(0, 4096)).toHaveLength(4096);
    await client.disconnect();
  });

  it('refuses a port that is taken', async () => {
    const [plane, other] = [startPlane(), startPlane()];
    const { port } = await other.native.listenTcp('127.0.0.1', 0);
    await expect(plane.native.listenTcp('127.0.0.1', port)).rejects.toMatchObject({ code: 'EADDRINUSE' });
  });

  it.each(['192.0.2.1', 'no-such-host.invalid'])('refuses %s, which is not this host', async (host) => {
    const { native } = startPlane();
    await expect(native.listenTcp(host, 0)).rejects.toMatchObject({ code: 'EADDRNOTAVAIL' });
  });
});

describe('listenUnix', () => {
  it('refuses a path where somebody listens', async () => {
    const [plane, other] = [startPlane(), startPlane()];
    const { path } = (await listen(other)) as { path: string };
    await expect(plane.native.listenUnix(path)).rejects.toMatchObject({ code: 'EADDRINUSE' });
    await other.native.close();
    await plane.native.listenUnix(path);
  });

  it('leaves a file alone that is no socket', async () => {
    const plane = startPlane();
    const path = join(plane.directory, 'file');
    writeFileSync(path, 'precious');
    await expect(plane.native.listenUnix(path)).rejects.toMatchObject({ code: 'EADDRINUSE' });
  });

  it('refuses a path that is too long', async () => {
    const { native } = startPlane();
    await expect(native.listenUnix(`/tmp/${'x'.repeat(104)}`)).rejects.toMatchObject({ code: 'ENAMETOOLONG' });
  });
});

describe('two reactors', () => {
  it('serve volumes on both, side by side', async () => {
    const plane = startPlane(2);
    const names = ['a', 'b', 'c', 'd'];
    await Promise.all(names.map((name) => openNew(plane, name)));
    await Promise.all(names.map((name) => plane.native.addExport(exportOf(name))));
    const address = await listen(plane);
    await Promise.all(
      names.map(async (name) => {
        const client = await NbdConnection.open(address, name);
        for (let block = 0; block < 64; ++block) await client.write(block * 4096, Buffer.alloc(4096, name));
        expect(await client.read(63 * 4096, 4096)).toEqual(Buffer.alloc(4096, name));
        await client.disconnect();
      }),
    );
    await plane.native.close();
  });
});

describe('real clients', () => {
  it('copies in and out', async (context) => {
    needsTools(context, 'nbdcopy', 'nbdinfo');
    const plane = startPlane(2);
    await openNew(plane, 'volume', { sizeBytes: 8 * mebibyte });
    const { path } = (await serve(plane, 'volume')) as { path: string };
    const uri = `nbd+unix:///volume?socket=${path}`;
    const source = join(plane.directory, 'source');
    writeFileSync(source, Buffer.alloc(8 * mebibyte, 'content'));
    await run('nbdcopy', [source, uri]);
    await run('nbdcopy', [uri, join(plane.directory, 'copy')]);
    await run('cmp', [source, join(plane.directory, 'copy')]);
    expect(await run('nbdinfo', ['--size', uri])).toBe(`${8 * mebibyte}\n`);
  });
});
