/** What nbdinfo, the reference for reading a server's capabilities, says about an export. */
import { describe, expect, it } from 'vitest';
import { sharedCairn, volumeName } from '../support/real-fixture.js';
import { needsTools, run } from '../support/real-tools.js';

interface ExportInfo {
  protocol: string;
  exports: Record<string, unknown>[];
}

describe.each([
  { isolation: 'node', transport: 'tcp' },
  { isolation: 'node', transport: 'unix' },
  { isolation: 'volume', transport: 'tcp' },
  { isolation: 'volume', transport: 'unix' },
] as const)('isolation $isolation over $transport', ({ isolation, transport }) => {
  const cairn = sharedCairn({ isolation });

  async function jsonOf(...args: string[]): Promise<ExportInfo> {
    return JSON.parse(await run('nbdinfo', ['--json', ...args])) as ExportInfo;
  }

  it.for([4096, 512] as const)('shows size, flags and %i-byte blocks', async (blockSize, context) => {
    needsTools(context, 'nbdinfo');
    const name = volumeName();
    await cairn().serveVolume(name, { size: '10GiB', blockSize });
    const { protocol, exports } = await jsonOf(cairn().uri(name, transport));
    expect(protocol).toBe('newstyle-fixed');
    expect(exports[0]).toMatchObject({
      'export-name': name,
      'export-size': 10 * 2 ** 30,
      block_size_minimum: blockSize,
      is_read_only: false,
      is_rotational: false,
      can_flush: true,
      can_fua: true,
      can_multi_conn: true,
      can_trim: true,
      can_zero: true,
    });
    await cairn().deleteVolume(name);
  });

  it('lists every served volume', async (context) => {
    needsTools(context, 'nbdinfo');
    const names = [volumeName(), volumeName()];
    for (const name of names) await cairn().serveVolume(name, { size: '64MiB' });
    const { exports } = await jsonOf('--list', cairn().uri('', transport));
    expect(new Set(exports.map((exported) => exported['export-name']))).toEqual(new Set(names));
    for (const name of names) await cairn().deleteVolume(name);
  });

  it('prints the size alone', async (context) => {
    needsTools(context, 'nbdinfo');
    const name = volumeName();
    await cairn().serveVolume(name, { size: 4096 });
    expect((await run('nbdinfo', ['--size', cairn().uri(name, transport)])).trim()).toBe('4096');
    await cairn().deleteVolume(name);
  });
});
