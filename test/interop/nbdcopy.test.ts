/** nbdcopy in both directions: several connections, many requests in flight, sparse images. */
import { randomBytes } from 'node:crypto';
import { closeSync, openSync, statSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { sharedCairn, volumeName } from '../support/real-fixture.js';
import { needsTools, run } from '../support/real-tools.js';
import { scratchDirectory } from '../support/scratch.js';

const mebibyte = 2 ** 20;

describe.each([
  { isolation: 'node', transport: 'tcp' },
  { isolation: 'node', transport: 'unix' },
  { isolation: 'volume', transport: 'tcp' },
] as const)('isolation $isolation over $transport', ({ isolation, transport }) => {
  const cairn = sharedCairn({ isolation });

  it.for([4096, 512] as const)('copies a full image in and out, %i-byte blocks', async (blockSize, context) => {
    needsTools(context, 'nbdcopy', 'cmp');
    const directory = scratchDirectory();
    const [image, back] = [join(directory, 'in'), join(directory, 'out')];
    writeFileSync(image, randomBytes(64 * mebibyte));
    const name = volumeName();
    await cairn().serveVolume(name, { size: 64 * mebibyte, blockSize });

    await run('nbdcopy', ['--flush', '--connections=4', '--requests=64', image, cairn().uri(name, transport)]);
    await run('nbdcopy', ['--connections=4', '--requests=64', cairn().uri(name, transport), back]);
    await run('cmp', [image, back]);
    await cairn().deleteVolume(name);
  });

  it('keeps a sparse image sparse', async (context) => {
    needsTools(context, 'nbdcopy', 'cmp');
    const directory = scratchDirectory();
    const [image, back] = [join(directory, 'in'), join(directory, 'out')];
    writeFileSync(image, '');
    truncateSync(image, 256 * mebibyte);
    const file = openSync(image, 'r+');
    for (const megabyte of [0, 125, 255]) writeSync(file, randomBytes(mebibyte), 0, mebibyte, megabyte * mebibyte);
    closeSync(file);
    const name = volumeName();
    await cairn().serveVolume(name, { size: 256 * mebibyte });

    await run('nbdcopy', ['--destination-is-zero', image, cairn().uri(name, transport)]);
    expect((await cairn().volume(name)).allocatedBytes).toBeLessThan(8 * mebibyte);
    await run('nbdcopy', [cairn().uri(name, transport), back]);
    await run('cmp', [image, back]);
    expect(statSync(back).blocks * 512).toBeLessThan(16 * mebibyte);
    await cairn().deleteVolume(name);
  });
});
