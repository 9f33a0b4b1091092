/**
 * Several clients of one volume at once, with its process killed under them: every sector is a linearizable register, so that no
 * acknowledged write is lost and none is read before one that it followed. Servers that break this in known ways are found out.
 */
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { BrokenNbdServer, type Breakage } from '../support/broken-nbd-server.js';
import { NbdHistory } from '../support/nbd-history.js';
import { testSeed } from '../support/random.js';
import { freshCairn } from '../support/real-fixture.js';
import { scratchDirectory } from '../support/scratch.js';

/** For each kind of volume; the long run takes longer. */
const seconds = Number(process.env['CAIRN_NBD_HISTORY_SECONDS'] ?? 3);
const seed = testSeed();
/** At most so many before the process is killed: starting it again is what takes the time. */
const operationsOfALife = process.env['CAIRN_NBD_HISTORY_SECONDS'] === undefined ? 900 : 8000;
let operations = 0;
let kills = 0;

afterAll(() => {
  console.log(`total: ${operations} NBD operations in linearizable histories`);
  console.log(`total: ${kills} data planes killed under their clients`);
});

describe.each([
  { isolation: 'node', transport: 'tcp', blockSize: 4096 },
  { isolation: 'node', transport: 'unix', blockSize: 512 },
  { isolation: 'volume', transport: 'tcp', blockSize: 512 },
] as const)('isolation $isolation over $transport, $blockSize-byte blocks', ({ isolation, transport, blockSize }) => {
  it('is linearizable through kill -9', { timeout: seconds * 3000 + 120_000 }, async () => {
    const cairn = await freshCairn({ isolation });
    await cairn.serveVolume('db', { size: '64MiB', blockSize });
    // Across the border of two sectors of the map.
    const clients = { connections: 4, depth: 4, blocks: 12, firstBlock: 1984 - 6 };
    const history = new NbdHistory({ address: cairn.address(transport), volume: 'db', blockSize, seed, ...clients });
    const end = performance.now() + seconds * 1000;
    do {
      history.start();
      for (let round = 0; round < 3; round += 1) {
        await history.progress(100 + ((kills * 7919) % operationsOfALife));
        process.kill(await cairn.holderOf('db'), 'SIGKILL');
        kills += 1;
      }
      await history.progress(500);
      expect(await history.stop()).toEqual([]);
    } while (performance.now() < end);
    operations += history.operations;
    expect(history.disconnections).toBeGreaterThan(0);
  });
});

/** What the clients find wrong with a server that breaks its promises so. */
async function faultsFoundIn(breakage: Breakage): Promise<string[]> {
  const path = join(scratchDirectory(), 'nbd');
  const server = new BrokenNbdServer(path, breakage, 16 * 4096, seed);
  await server.start();
  const clients = { connections: 4, depth: 2, blocks: 12, blockSize: 512 } as const;
  const history = new NbdHistory({ address: { path }, volume: 'any', seed, ...clients });
  const faults: string[] = [];
  for (let round = 0; round < 4; round += 1) {
    history.start();
    await history.progress(500);
    await server.kill();
    await server.start();
    await history.progress(300);
    faults.push(...(await history.stop()));
  }
  await server.kill();
  return faults;
}

describe('a server that breaks its promises', () => {
  it.each([
    'acknowledges-before-writing',
    'loses-writes-when-killed',
    'reads-stale',
    'reorders-torn-writes',
    'loses-updates-of-partial-blocks',
  ] as const)('is found out: %s', async (breakage) => {
    expect(await faultsFoundIn(breakage)).not.toEqual([]);
  });

  it('is not imagined: one that keeps them passes', async () => {
    expect(await faultsFoundIn('none')).toEqual([]);
  });
});
