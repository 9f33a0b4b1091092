/** A client's connection from the plane that listens to the plane that holds the volume. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { exportOf, listen, openNew, startPlane, whyNoAddon, type TestPlane } from '../support/native-plane.js';
import { NbdConnection } from '../support/nbd-connection.js';
import type { NbdAddress } from '../support/nbd-stream.js';
import { needsTools, run } from '../support/real-tools.js';
import { scratchDirectory } from '../support/scratch.js';

const mebibyte = 1024 * 1024;
const program = fileURLToPath(new URL('children/stages.mjs', import.meta.url));

beforeEach((context) => {
  if (whyNoAddon !== null) context.skip(whyNoAddon);
});

interface Pair {
  front: TestPlane;
  holder: TestPlane;
  address: NbdAddress;
}

/** The holder has `volume`; clients find it at the front. */
async function pair(): Promise<Pair> {
  const [front, holder] = [startPlane(), startPlane()];
  const path = join(holder.directory, 'handover.sock');
  await openNew(holder, 'volume');
  await holder.native.addExport(exportOf('volume'));
  await holder.native.listenHandover(path);
  await exportRemotely(front, path);
  return { front, holder, address: await listen(front) };
}

function exportRemotely(front: TestPlane, path: string): Promise<void> {
  const handover = { path };
  return front.native.addExport(exportOf('volume', { volume: null, handover }));
}

describe('a connection to a volume of another plane', () => {
  it('is served by the holder, which counts it', async () => {
    const { holder, address } = await pair();
    const client = await NbdConnection.open(address, 'volume');
    await client.write(0, Buffer.alloc(4096, 7));
    expect(await client.read(0, 4096)).toEqual(Buffer.alloc(4096, 7));
    expect((await holder.native.volumeInfo('volume')).clients).toBe(1);
    await client.disconnect();
  });

  it('stays when the front forgets the export, also by force', async () => {
    const { front, address } = await pair();
    const client = await NbdConnection.open(address, 'volume');
    await front.native.removeExport('volume', true);
    await client.write(0, Buffer.alloc(4096, 7));
    expect(await client.read(0, 4096)).toEqual(Buffer.alloc(4096, 7));
    await client.disconnect();
  });

  it('stays when the front closes', async () => {
    const { front, address } = await pair();
    const client = await NbdConnection.open(address, 'volume');
    await front.native.close();
    await client.write(0, Buffer.alloc(4096, 7));
    await client.disconnect();
  });

  it('counts as a client when the holder removes the export', async () => {
    const { holder, address } = await pair();
    const client = await NbdConnection.open(address, 'volume');
    await expect(holder.native.removeExport('volume', false)).rejects.toMatchObject({ code: 'VOLUME_IN_USE' });
    await holder.native.removeExport('volume', true);
    await client.stream.closed;
    await holder.native.closeVolume('volume');
  });

  it('fails when the holder is gone, and the next one succeeds when it is back', async () => {
    const { front, holder, address } = await pair();
    await holder.native.close();
    await expect(NbdConnection.open(address, 'volume')).rejects.toThrow();
    const successor = startPlane();
    const path = join(successor.directory, 'handover.sock');
    await openNew(successor, 'volume');
    await successor.native.addExport(exportOf('volume'));
    await successor.native.listenHandover(path);
    await front.native.removeExport('volume', false);
    await exportRemotely(front, path);
    await (await NbdConnection.open(address, 'volume')).disconnect();
  });

  it('fails when the holder has no such export', async () => {
    const { holder, address } = await pair();
    await holder.native.removeExport('volume', true);
    await expect(NbdConnection.open(address, 'volume')).rejects.toThrow();
    await holder.native.addExport(exportOf('volume'));
    await (await NbdConnection.open(address, 'volume')).disconnect();
  });

  it('reaches another process with a real client, more than once', async (context) => {
    needsTools(context, 'nbdcopy', 'nbdinfo');
    const directory = scratchDirectory();
    const child = spawn(process.execPath, [program, 'served until told', directory], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    onTestFinished(() => void child.kill('SIGKILL'));
    await once(child.stdout, 'data');
    const front = startPlane();
    await exportRemotely(front, join(directory, 'handover.sock'));
    const { path } = (await listen(front)) as { path: string };
    const uri = `nbd+unix:///volume?socket=${path}`;
    for (let i = 0; i < 3; ++i) expect(await run('nbdinfo', ['--size', uri])).toBe(`${mebibyte}\n`);
    await run('nbdcopy', ['--connections=4', uri, join(front.directory, 'copy')]);
    child.stdin.end();
    await once(child, 'exit');
  });
});
