/** Where data is: what clients ask by block status, and copies that stay sparse because of it. */
import { describe, expect, it } from 'vitest';
import { sharedCairn, volumeName } from '../support/real-fixture.js';
import { needsTools, run } from '../support/real-tools.js';

const mebibyte = 2 ** 20;

interface Extent {
  offset: number;
  length: number;
}

describe.each([
  { isolation: 'node', transport: 'tcp' },
  { isolation: 'volume', transport: 'unix' },
] as const)('isolation $isolation over $transport', ({ isolation, transport }) => {
  const cairn = sharedCairn({ isolation });

  /** Data at 8 to 9 MiB and 40 to 42 MiB, but for a hole in the middle of the second. */
  async function sparseVolume(): Promise<string> {
    const name = volumeName();
    await cairn().serveVolume(name, { size: 64 * mebibyte });
    const uri = cairn().uri(name, transport);
    const commands = ['write -P 1 8M 1M', 'write -P 2 40M 2M', 'discard 41M 64k'];
    await run('qemu-io', ['-f', 'raw', ...commands.flatMap((command) => ['-c', command]), uri]);
    return name;
  }
  const data = [
    [8 * mebibyte, mebibyte],
    [40 * mebibyte, mebibyte],
    [41 * mebibyte + 65536, mebibyte - 65536],
  ];
  const pairs = (extents: Extent[]) => extents.map(({ offset, length }) => [offset, length]);

  it('nbdinfo --map names the data, and all else as holes that read as zeros', async (context) => {
    needsTools(context, 'nbdinfo', 'qemu-io');
    const name = await sparseVolume();
    const map = JSON.parse(await run('nbdinfo', ['--map', '--json', cairn().uri(name, transport)])) as (Extent & {
      type: number;
    })[];
    expect(pairs(map.filter(({ type }) => type === 0))).toEqual(data);
    expect(new Set(map.map(({ type }) => type))).toEqual(new Set([0, 3]));
    expect(map.reduce((sum, { length }) => sum + length, 0)).toBe(64 * mebibyte);
    await cairn().deleteVolume(name);
  });

  it('qemu-img map names the same, also through a snapshot', async (context) => {
    needsTools(context, 'qemu-img', 'qemu-io');
    const name = await sparseVolume();
    await cairn().createSnapshot(name, 'below');
    const map = JSON.parse(
      await run('qemu-img', ['map', '--output=json', '-f', 'raw', cairn().uri(name, transport)]),
    ) as { start: number; length: number; data: boolean }[];
    expect(map.filter((extent) => extent.data).map(({ start, length }) => [start, length])).toEqual(data);
    await cairn().deleteVolume(name);
  });

  it('nbdcopy and qemu-img convert between two volumes copy the data alone', async (context) => {
    needsTools(context, 'nbdcopy', 'qemu-img', 'qemu-io');
    const name = await sparseVolume();
    const source = cairn().uri(name, transport);
    const copiers: [string, string[]][] = [
      ['nbdcopy', ['--destination-is-zero', '--connections=4', source]],
      ['qemu-img', ['convert', '-n', '--target-is-zero', '-f', 'raw', '-O', 'raw', source]],
    ];
    for (const [command, args] of copiers) {
      const copy = volumeName();
      await cairn().serveVolume(copy, { size: 64 * mebibyte });
      const target = cairn().uri(copy, transport);
      await run(command, [...args, target]);
      await run('qemu-img', ['compare', '-f', 'raw', '-F', 'raw', source, target]);
      expect((await cairn().volume(copy)).allocatedBytes).toBeLessThan(4 * mebibyte);
      await cairn().deleteVolume(copy);
    }
    await cairn().deleteVolume(name);
  });
});
