/** qemu-io's patterns: it exits with an error when a read does not find what was written. */
import { describe, expect, it } from 'vitest';
import { sharedCairn, volumeName } from '../support/real-fixture.js';
import { needsTools, run } from '../support/real-tools.js';

const sequences: [string, 512 | 4096, string[]][] = [
  ['writes and reads a pattern', 4096, ['write -P 0xab 0 1M', 'flush', 'read -P 0xab 0 1M', 'read -P 0 1M 1M']],
  [
    'writes across chunks',
    4096,
    ['write -P 1 2044k 8k', 'read -P 1 2044k 8k', 'read -P 0 2052k 4k', 'read -P 0 2040k 4k'],
  ],
  ['writes to the last block', 4096, ['write -P 9 65532k 4k', 'read -P 9 65532k 4k']],
  [
    'merges writes of a sector',
    512,
    ['write -P 1 0 4k', 'write -P 2 512 512', 'read -P 1 0 512', 'read -P 2 512 512', 'read -P 1 1k 3k'],
  ],
  [
    'merges a write that begins and ends in mid-block',
    512,
    ['write -P 1 0 64k', 'write -P 2 3584 9216', 'read -P 1 0 3584', 'read -P 2 3584 9216', 'read -P 1 12800 52736'],
  ],
  [
    'a sector written to nothing has zeros around it',
    512,
    ['write -P 3 5k 512', 'read -P 0 4k 1k', 'read -P 3 5k 512', 'read -P 0 5632 2560'],
  ],
  [
    'reads zeros after a discard',
    4096,
    ['write -P 5 0 4M', 'discard 1M 2M', 'read -P 0 1M 2M', 'read -P 5 0 1M', 'read -P 5 3M 1M'],
  ],
  [
    'discards sectors without harm to their neighbours',
    512,
    ['write -P 5 0 16k', 'discard 512 9k', 'read -P 5 0 512', 'read -P 5 9728 6656'],
  ],
  [
    'writes zeroes',
    4096,
    ['write -P 6 0 4M', 'write -z 1M 1M', 'read -P 6 0 1M', 'read -P 0 1M 1M', 'read -P 6 2M 2M'],
  ],
  ['writes zeroes and may unmap', 4096, ['write -P 6 0 4M', 'write -z -u 1M 1M', 'read -P 0 1M 1M', 'read -P 6 2M 2M']],
  [
    'writes zeroes to sectors',
    512,
    ['write -P 6 0 16k', 'write -z 1536 7k', 'read -P 6 0 1536', 'read -P 0 1536 7k', 'read -P 6 8704 7680'],
  ],
  ['writes with FUA', 4096, ['write -f -P 7 0 64k', 'write -z -f 64k 64k', 'read -P 7 0 64k', 'read -P 0 64k 64k']],
  [
    'writes many requests at once',
    4096,
    [
      'aio_write -P 1 0 1M',
      'aio_write -P 2 1M 1M',
      'aio_write -P 3 2M 1M',
      'aio_flush',
      'read -P 1 0 1M',
      'read -P 2 1M 1M',
      'read -P 3 2M 1M',
    ],
  ],
  ['writes 32 MiB in one request', 4096, ['write -P 8 0 32M', 'read -P 8 0 32M']],
];

async function qemuIo(uri: string, commands: readonly string[]): Promise<void> {
  const output = await run('qemu-io', ['-f', 'raw', ...commands.flatMap((command) => ['-c', command]), uri]);
  expect(output).not.toMatch(/Pattern verification failed|failed:/);
}

describe.each([
  { isolation: 'node', transport: 'tcp' },
  { isolation: 'volume', transport: 'unix' },
] as const)('isolation $isolation over $transport', ({ isolation, transport }) => {
  const cairn = sharedCairn({ isolation });

  it.for(sequences)('%s (%i-byte blocks)', async ([, blockSize, commands], context) => {
    needsTools(context, 'qemu-io');
    const name = volumeName();
    await cairn().serveVolume(name, { size: '64MiB', blockSize });
    await qemuIo(cairn().uri(name, transport), commands);
    await cairn().deleteVolume(name);
  });
});

describe('above a snapshot', () => {
  const cairn = sharedCairn();

  it.for(sequences)('%s (%i-byte blocks), and a revert undoes it', async ([, blockSize, commands], context) => {
    needsTools(context, 'qemu-io');
    const name = volumeName();
    await cairn().serveVolume(name, { size: '64MiB', blockSize });
    await qemuIo(cairn().uri(name), ['write -P 0xee 0 64M']);
    await cairn().createSnapshot(name, 'below');
    const written = commands.filter((command) => !command.startsWith('read -P 0 '));
    await qemuIo(cairn().uri(name), written);
    await cairn().revert(name, 'below');
    await qemuIo(cairn().uri(name), ['read -P 0xee 0 64M']);
    await cairn().deleteVolume(name);
  });

  it('discard and write zeroes read as zeros where the snapshot has data', async (context) => {
    needsTools(context, 'qemu-io');
    const name = volumeName();
    await cairn().serveVolume(name, { size: '64MiB' });
    const uri = cairn().uri(name);
    await qemuIo(uri, ['write -P 1 0 4M']);
    await cairn().createSnapshot(name, 'below');
    await qemuIo(uri, ['discard 0 1M', 'write -z -u 1M 1M', 'read -P 0 0 2M', 'read -P 1 2M 2M']);
    await cairn().revert(name, 'below');
    await qemuIo(uri, ['read -P 1 0 4M']);
    await cairn().deleteVolume(name);
  });
});
