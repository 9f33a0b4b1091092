/** fio with checksums: random sizes and places, several connections, and what it wrote read back by another run. */
import { describe, it } from 'vitest';
import { sharedCairn, volumeName } from '../support/real-fixture.js';
import { needsTools, run } from '../support/real-tools.js';
import { scratchDirectory } from '../support/scratch.js';

const writing: [string, 512 | 4096, string[]][] = [
  ['4 KiB random', 4096, ['--rw=randwrite', '--bs=4k', '--iodepth=32']],
  ['mixed sizes', 4096, ['--rw=randwrite', '--bsrange=4k-256k', '--blockalign=4k', '--iodepth=16']],
  ['mixed sizes of sectors', 512, ['--rw=randwrite', '--bsrange=512-64k', '--blockalign=512', '--iodepth=16']],
  ['sequential', 4096, ['--rw=write', '--bs=1M', '--iodepth=4']],
];

describe.each([
  { isolation: 'node', transport: 'tcp' },
  { isolation: 'volume', transport: 'unix' },
] as const)('isolation $isolation over $transport', ({ isolation, transport }) => {
  const cairn = sharedCairn({ isolation });

  async function fio(name: string, args: readonly string[]): Promise<void> {
    const directory = scratchDirectory();
    const target = ['--name=verify', '--ioengine=nbd', `--uri=${cairn().uri(name, transport)}`];
    const verify = ['--verify=crc32c', '--verify_fatal=1', `--aux-path=${directory}`, '--verify_state_save=0'];
    await run('fio', [...target, ...verify, ...args]);
  }

  it.for(writing)('%s, %i-byte blocks', async ([, blockSize, args], context) => {
    needsTools(context, 'fio');
    const name = volumeName();
    await cairn().serveVolume(name, { size: '48MiB', blockSize });
    await fio(name, ['--size=48M', ...args]);
    await cairn().deleteVolume(name);
  });

  it('four connections to one volume, each on its own part', async (context) => {
    needsTools(context, 'fio');
    const name = volumeName();
    await cairn().serveVolume(name, { size: '64MiB' });
    const args = ['--rw=randwrite', '--bs=4k', '--iodepth=16', '--numjobs=4', '--size=16M', '--offset_increment=16M'];
    await fio(name, args);
    await cairn().deleteVolume(name);
  });

  it('what was written before a snapshot is whole above it, and after its deletion', async (context) => {
    needsTools(context, 'fio');
    const name = volumeName();
    await cairn().serveVolume(name, { size: '32MiB' });
    const job = ['--rw=randwrite', '--bs=4k', '--iodepth=32', '--size=32M'];
    await fio(name, [...job, '--do_verify=0']);
    await cairn().createSnapshot(name, 'one');
    await fio(name, [...job, '--verify_only=1']);
    await fio(name, [...job, '--do_verify=0', '--io_size=8M']);
    await cairn().deleteSnapshot(name, 'one');
    await fio(name, [...job, '--verify_only=1']);
    await cairn().deleteVolume(name);
  });
});
