/** qemu-img over NBD: info, map, convert in both directions, compare, bench. */
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { sharedCairn, volumeName } from '../support/real-fixture.js';
import { needsTools, run } from '../support/real-tools.js';
import { scratchDirectory } from '../support/scratch.js';

const mebibyte = 2 ** 20;

describe.each([
  { isolation: 'node', transport: 'tcp' },
  { isolation: 'volume', transport: 'unix' },
] as const)('isolation $isolation over $transport', ({ isolation, transport }) => {
  const cairn = sharedCairn({ isolation });

  async function served(size: number): Promise<{ name: string; uri: string }> {
    const name = volumeName();
    await cairn().serveVolume(name, { size });
    return { name, uri: cairn().uri(name, transport) };
  }

  it('info shows the size', async (context) => {
    needsTools(context, 'qemu-img');
    const { name, uri } = await served(64 * mebibyte);
    const info = JSON.parse(await run('qemu-img', ['info', '--output=json', '-f', 'raw', uri])) as object;
    expect(info).toMatchObject({ 'virtual-size': 64 * mebibyte, format: 'raw' });
    await cairn().deleteVolume(name);
  });

  it('convert writes an image in, out and as qcow2, and compare finds them identical', async (context) => {
    needsTools(context, 'qemu-img');
    const directory = scratchDirectory();
    const [image, raw, qcow2] = ['in', 'out', 'qcow2'].map((file) => join(directory, file)) as [string, string, string];
    writeFileSync(
      image,
      Buffer.concat([randomBytes(8 * mebibyte), Buffer.alloc(40 * mebibyte), randomBytes(16 * mebibyte)]),
    );
    const { name, uri } = await served(64 * mebibyte);

    await run('qemu-img', ['convert', '-n', '-f', 'raw', '-O', 'raw', image, uri]);
    await run('qemu-img', ['compare', '-f', 'raw', '-F', 'raw', image, uri]);
    await run('qemu-img', ['convert', '-f', 'raw', '-O', 'raw', uri, raw]);
    await run('qemu-img', ['compare', '-f', 'raw', '-F', 'raw', image, raw]);
    await run('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', uri, qcow2]);
    await run('qemu-img', ['compare', '-f', 'raw', '-F', 'qcow2', image, qcow2]);
    await cairn().deleteVolume(name);
  });

  it('a volume holds a qcow2 image whose check is clean', async (context) => {
    needsTools(context, 'qemu-img', 'qemu-io');
    const { name, uri } = await served(64 * mebibyte);
    await run('qemu-img', ['create', '-f', 'qcow2', uri, '32M']);
    await run('qemu-io', ['-f', 'qcow2', '-c', 'write -P 7 1M 4M', '-c', 'discard 2M 1M', uri]);
    await run('qemu-img', ['check', '-f', 'qcow2', uri]);
    await cairn().deleteVolume(name);
  });

  it('map reads the extents', async (context) => {
    needsTools(context, 'qemu-img', 'qemu-io');
    const { name, uri } = await served(64 * mebibyte);
    await run('qemu-io', ['-f', 'raw', '-c', 'write -P 1 8M 1M', uri]);
    const map = JSON.parse(await run('qemu-img', ['map', '--output=json', '-f', 'raw', uri])) as { length: number }[];
    expect(map.reduce((sum, { length }) => sum + length, 0)).toBe(64 * mebibyte);
    await cairn().deleteVolume(name);
  });

  it.for([[], ['-w'], ['-w', '--flush-interval=64']])('bench %j runs to its end', async (args, context) => {
    needsTools(context, 'qemu-img');
    const { name, uri } = await served(64 * mebibyte);
    const flags = ['-f', 'raw', '-n', '-c', '4000', '-d', '32', '-s', '4096', '-t', 'none'];
    expect(await run('qemu-img', ['bench', ...flags, ...args, uri])).toContain('Run completed');
    await cairn().deleteVolume(name);
  });
});
