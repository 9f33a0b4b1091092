/** A byte that rots on the disk is found. */
import { closeSync, openSync, readdirSync, readFileSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { NbdConnection } from '../support/nbd-connection.js';
import { cli } from '../support/real-cli.js';
import { eventually } from '../support/real-deadline.js';
import { freshCairn } from '../support/real-fixture.js';
import type { RealCairn } from '../support/real-cairn.js';

const mebibyte = 2 ** 20;

/** `db` with 4 MiB frozen in snapshot `one`, whose checksums are written. Resolves with its replica. */
async function frozen(cairn: RealCairn): Promise<string> {
  const { id } = await cairn.serveVolume('db', { size: 64 * mebibyte });
  const client = await NbdConnection.open(cairn.address(), 'db');
  for (let at = 0; at < 4; at++) await client.write(at * mebibyte, Buffer.alloc(mebibyte, at + 1));
  await client.flush();
  await client.disconnect();
  await cairn.createSnapshot('db', 'one');
  await eventually('checksums are written', async () => (await cairn.snapshots('db'))[0]?.checksummed === true, 30_000);
  const directory = join(cairn.pool, 'replicas', id);
  return join(directory, readdirSync(directory)[0] ?? '');
}

/** Turns one bit of a byte around, behind the back of everybody. */
function damage(replica: string, offset: number): void {
  const file = dataOf(replica);
  const byte = Buffer.alloc(1);
  const descriptor = openSync(file, 'r+');
  readSync(descriptor, byte, 0, 1, offset);
  byte[0] = (byte[0] ?? 0) ^ 1;
  writeSync(descriptor, byte, 0, 1, offset);
  closeSync(descriptor);
}

/** The file of the frozen data, told by what it begins with. */
function dataOf(replica: string): string {
  const files = readdirSync(replica).filter((file) => file.endsWith('.data'));
  const found = files.map((file) => join(replica, file)).find((file) => readFileSync(file)[0] === 1);
  if (found === undefined) throw new Error(`None of ${files.join()} holds the frozen data.`);
  return found;
}

describe.each([
  { isolation: 'node', isAttached: true },
  { isolation: 'node', isAttached: false },
  { isolation: 'volume', isAttached: false },
] as const)('isolation $isolation, attached $isAttached', ({ isolation, isAttached }) => {
  it('a scrub of what is well finds nothing, and one of what is damaged says where', async () => {
    const cairn = await freshCairn({ isolation });
    const replica = await frozen(cairn);
    if (!isAttached) await cairn.detach('db');
    expect(await cli(cairn, 'volume', 'scrub', 'db', '--wait')).toMatchObject({
      exitCode: 0,
      stdout: expect.stringMatching(/^finished( \S+)?: 1024 blocks checked, 0 damaged/) as string,
    });
    damage(replica, 2 * mebibyte + 5);
    const { exitCode, stdout } = await cli(cairn, 'volume', 'scrub', 'db', '--wait');
    expect(exitCode).toBe(1);
    expect(stdout).toMatch(/^finished( \S+)?: 1024 blocks checked, 1 damaged/);
    expect(stdout.trimEnd().split('\n')).toHaveLength(2);
    expect(await cairn.volume('db')).toMatchObject({ scrub: { state: 'finished', blocksDamaged: 1 } });
    expect((await cairn.events('db')).map(({ kind }) => kind)).toContain('scrub-finished');

    await eventually('the result is kept', async () => (await cairn.volume('db')).scrub?.ended !== null);
    await cairn.killServe();
    await cairn.startServe();
    expect(await cairn.volume('db')).toMatchObject({ scrub: { state: 'finished', blocksDamaged: 1 } });
  });
});
