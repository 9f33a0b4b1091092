/**
 * Encrypted volumes and the kernel's dm-crypt, which must read and write the same. The kernel gets a volume's ciphertext as a copy of its
 * file, or as a block device over the raw export.
 */
import { createHash, randomBytes } from 'node:crypto';
import { chmodSync, copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Cryptsetup, needsDeviceMapper } from '../support/kernel-crypt.js';
import { KernelDisk, needsKernelDisk } from '../support/kernel-disk.js';
import type { RealCairn } from '../support/real-cairn.js';
import { freshCairn } from '../support/real-fixture.js';
import { run } from '../support/real-tools.js';
import { scratchDirectory } from '../support/scratch.js';

const mebibyte = 2 ** 20;
const passphrase = 'a passphrase that both know';
const filesCount = 20;
const fileBytes = 150_000;

async function cairnWithKey(): Promise<RealCairn> {
  const keys = join(scratchDirectory(), 'keys');
  mkdirSync(keys, { mode: 0o700 });
  writeFileSync(join(keys, 'db'), `${passphrase}\n`);
  chmodSync(join(keys, 'db'), 0o600);
  return freshCairn({ environment: { CAIRN_KEYS_DIRECTORY: keys } });
}

/** Random files; their checksums by name. */
function writeFiles(directory: string, prefix: string): Map<string, string> {
  const names = Array.from({ length: filesCount }, (_, number) => `${prefix}-${number}`);
  return new Map(
    names.map((name) => {
      const content = randomBytes(fileBytes);
      writeFileSync(join(directory, name), content);
      return [name, sumOf(content)];
    }),
  );
}

function sumsOf(directory: string): Map<string, string> {
  const names = readdirSync(directory).filter((name) => name !== 'lost+found');
  return new Map(names.map((name) => [name, sumOf(readFileSync(join(directory, name)))]));
}

function sumOf(content: Uint8Array): string {
  return createHash('sha256').update(content).digest('hex');
}

/** Names come in the order of the directory. */
function sorted(sums: ReadonlyMap<string, string>): [string, string][] {
  return [...sums].sort(([one], [other]) => one.localeCompare(other));
}

/** What Cairn serves of it, as plaintext, with a file system that is checked first. */
async function readThroughCairn(cairn: RealCairn, blockSize: number): Promise<Map<string, string>> {
  await cairn.attach('db');
  const disk = await KernelDisk.open(cairn.uri('db'), blockSize);
  await disk.check();
  await disk.mount('-o', 'ro');
  const sums = sumsOf(disk.mountPoint);
  await disk.close();
  await cairn.detach('db');
  return sums;
}

/** The ciphertext as a block device. */
async function rawDisk(cairn: RealCairn, blockSize: number): Promise<KernelDisk> {
  await cairn.rest.call('POST', '/v1/volumes/db/attach', { raw: true });
  return KernelDisk.open(cairn.uri('db'), blockSize);
}

function imageOf(cairn: RealCairn): string {
  const found = readdirSync(cairn.pool, { recursive: true, encoding: 'utf8' }).find((file) => file.endsWith('.data'));
  return join(cairn.pool, found ?? '');
}

function fsTrim(directory: string): Promise<boolean> {
  return run('fstrim', [directory]).then(
    () => true,
    () => false,
  );
}

describe.each([512, 4096] as const)('with sectors of %i bytes', (sectorSize) => {
  it.for([true, false])(
    'the kernel goes on with what Cairn has written, and Cairn with what the kernel has (discards: %s)',
    async (allowDiscards, context) => {
      needsDeviceMapper(context);
      needsKernelDisk(context);
      const cairn = await cairnWithKey();
      await cairn.serveVolume('db', { size: 64 * mebibyte, blockSize: sectorSize, encryption: { allowDiscards } });
      const plain = await KernelDisk.open(cairn.uri('db'), sectorSize);
      await plain.format();
      await plain.mount();
      const written = writeFiles(plain.mountPoint, 'cairn');
      await plain.close();
      await cairn.detach('db');

      const copy = join(scratchDirectory(), 'copy');
      copyFileSync(imageOf(cairn), copy);
      const reader = new Cryptsetup(passphrase, 'cairn-test-copy');
      await reader.open(copy, '--readonly');
      await run('e2fsck', ['-f', '-n', reader.path]);
      await reader.mount('-o', 'ro');
      expect(sorted(sumsOf(reader.mountPoint))).toEqual(sorted(written));
      await reader.close();

      const raw = await rawDisk(cairn, sectorSize);
      const kernel = new Cryptsetup(passphrase, 'cairn-test');
      await kernel.open(raw.device);
      await kernel.mount();
      const added = writeFiles(kernel.mountPoint, 'kernel');
      expect(await fsTrim(kernel.mountPoint)).toBe(allowDiscards);
      await kernel.close();
      await raw.close();
      await cairn.detach('db');
      expect(sorted(await readThroughCairn(cairn, sectorSize))).toEqual(sorted(new Map([...written, ...added])));
    },
  );

  it.for(['argon2id', 'argon2i', 'pbkdf2'] as const)(
    'Cairn serves what the kernel has made with a key from %s, and the kernel goes on',
    async (derivation, context) => {
      needsDeviceMapper(context);
      needsKernelDisk(context);
      const cairn = await cairnWithKey();
      await cairn.createVolume('db', { size: 64 * mebibyte, blockSize: sectorSize, encryption: {} });
      const raw = await rawDisk(cairn, sectorSize);
      const kernel = new Cryptsetup(passphrase, 'cairn-test');
      await kernel.format(raw.device, sectorSize, derivation);
      await kernel.open(raw.device);
      await run('mkfs.ext4', ['-q', '-F', kernel.path]);
      await kernel.mount();
      const written = writeFiles(kernel.mountPoint, 'kernel');
      await kernel.close();
      await raw.close();
      await cairn.detach('db');
      expect(sorted(await readThroughCairn(cairn, sectorSize))).toEqual(sorted(written));

      await cairn.attach('db');
      const plain = await KernelDisk.open(cairn.uri('db'), sectorSize);
      await plain.mount();
      const added = writeFiles(plain.mountPoint, 'cairn');
      await plain.close();
      await cairn.detach('db');
      const again = await rawDisk(cairn, sectorSize);
      await kernel.open(again.device, '--readonly');
      await kernel.mount('-o', 'ro');
      expect(sorted(sumsOf(kernel.mountPoint))).toEqual(sorted(new Map([...written, ...added])));
      await kernel.close();
    },
  );
});
