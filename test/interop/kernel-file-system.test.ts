/** A real kernel file system on a volume: files, trim, snapshots under it, and fsck's word that all is well. */
import { randomBytes } from 'node:crypto';
import { readFileSync, readdirSync, rmSync, writeFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { KernelDisk, needsKernelDisk } from '../support/kernel-disk.js';
import { eventually } from '../support/real-deadline.js';
import { sharedCairn, volumeName } from '../support/real-fixture.js';
import { run } from '../support/real-tools.js';

const mebibyte = 2 ** 20;

describe.each([
  { isolation: 'node', transport: 'tcp', blockSize: 4096 },
  { isolation: 'volume', transport: 'unix', blockSize: 512 },
] as const)('isolation $isolation over $transport, $blockSize-byte blocks', ({ isolation, transport, blockSize }) => {
  const cairn = sharedCairn({ isolation });

  async function formatted(): Promise<{ name: string; disk: KernelDisk }> {
    const name = volumeName();
    await cairn().serveVolume(name, { size: '256MiB', blockSize });
    const disk = await KernelDisk.open(cairn().uri(name, transport), blockSize);
    await disk.format();
    await disk.mount();
    return { name, disk };
  }

  const allocated = async (name: string) => (await cairn().volume(name)).allocatedBytes ?? 0;

  it('ext4 keeps files, and fsck finds nothing', async (context) => {
    needsKernelDisk(context);
    const { name, disk } = await formatted();
    const big = randomBytes(32 * mebibyte);
    writeFileSync(join(disk.mountPoint, 'big'), big);
    const many = join(disk.mountPoint, 'many');
    mkdirSync(many);
    for (let file = 0; file < 500; file += 1) writeFileSync(join(many, String(file)), `file ${file}`);
    await disk.unmount();
    await disk.check();
    await disk.mount('-o', 'ro');
    expect(readFileSync(join(disk.mountPoint, 'big')).equals(big)).toBe(true);
    expect(readdirSync(many)).toHaveLength(500);
    expect(readFileSync(join(many, '77'), 'utf8')).toBe('file 77');
    await disk.close();
    await cairn().deleteVolume(name);
  });

  it('fstrim gives the space of removed files back', async (context) => {
    needsKernelDisk(context);
    const { name, disk } = await formatted();
    const file = join(disk.mountPoint, 'big');
    writeFileSync(file, randomBytes(64 * mebibyte));
    await run('sync', ['-f', disk.mountPoint]);
    const full = await allocated(name);
    expect(full).toBeGreaterThan(64 * mebibyte);
    rmSync(file);
    await run('sync', ['-f', disk.mountPoint]);
    await run('fstrim', [disk.mountPoint]);
    await eventually('the space is back', async () => full - (await allocated(name)) > 60 * mebibyte);
    await disk.unmount();
    await disk.check();
    await disk.close();
    await cairn().deleteVolume(name);
  });

  it('a snapshot between two versions of a file shows the old one after a revert', async (context) => {
    needsKernelDisk(context);
    const { name, disk } = await formatted();
    const file = (mounted: KernelDisk) => join(mounted.mountPoint, 'story');
    writeFileSync(file(disk), 'old\n'.repeat(100_000));
    await run('sync', ['-f', disk.mountPoint]);
    await cairn().createSnapshot(name, 'old');
    writeFileSync(file(disk), 'new\n'.repeat(200_000));
    writeFileSync(join(disk.mountPoint, 'late'), randomBytes(8 * mebibyte));
    await disk.close();

    await cairn().revert(name, 'old');
    const reverted = await KernelDisk.open(cairn().uri(name, transport), blockSize);
    await reverted.mount(); // replays the journal: the snapshot was taken of a mounted file system
    expect(readFileSync(file(reverted), 'utf8')).toBe('old\n'.repeat(100_000));
    expect(readdirSync(reverted.mountPoint)).not.toContain('late');
    await reverted.unmount();
    await reverted.check();
    await reverted.close();
    await cairn().deleteVolume(name);
  });
});
