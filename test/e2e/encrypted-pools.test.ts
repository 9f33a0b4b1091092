/** Pools on devices that the kernel encrypts, from the command line to what the device holds. */
import { randomBytes } from 'node:crypto';
import { chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { Cryptsetup, LoopDisk, needsDeviceMapper } from '../support/kernel-crypt.js';
import { NbdConnection } from '../support/nbd-connection.js';
import type { RealCairn } from '../support/real-cairn.js';
import { cli, type CliOutcome } from '../support/real-cli.js';
import { eventually } from '../support/real-deadline.js';
import { freshCairn } from '../support/real-fixture.js';
import { needsTools, run } from '../support/real-tools.js';
import { scratchDirectory } from '../support/scratch.js';

const mebibyte = 2 ** 20;
const passphrase = 'a passphrase for a disk';
const wakeTimeoutMs = 60_000;

class Host {
  private readonly keyFile: string;

  private constructor(
    readonly cairn: RealCairn,
    keys: string,
  ) {
    this.keyFile = join(keys, 'fast');
  }

  /** The only other pool is a place without room, so that volumes go to the encrypted one. */
  static async start(): Promise<Host> {
    const keys = join(scratchDirectory(), 'keys');
    mkdirSync(keys, { mode: 0o700 });
    const cairn = await freshCairn({ pool: '/proc', environment: { CAIRN_KEYS_DIRECTORY: keys } });
    const host = new Host(cairn, keys);
    host.giveKey(passphrase);
    onTestFinished(() => host.shutDown());
    return host;
  }

  giveKey(secret: string): void {
    writeFileSync(this.keyFile, `${secret}\n`);
    chmodSync(this.keyFile, 0o600);
  }

  takeKey(): void {
    rmSync(this.keyFile);
  }

  add(...args: string[]): Promise<CliOutcome> {
    return cli(this.cairn, 'pool', 'add', ...args);
  }

  async pool(): Promise<{ state: string; reason: string | null; directory: string } | undefined> {
    const { stdout } = await cli(this.cairn, 'pool', 'list', '-o', 'json');
    const { pools } = JSON.parse(stdout) as {
      pools: { name: string; state: string; reason: string; directory: string }[];
    };
    return pools.find(({ name }) => name === 'fast');
  }

  /** Everything ends, and the kernel forgets what was open. */
  async shutDown(): Promise<void> {
    await this.cairn.stop();
    const mount = mountOf('fast');
    if (mount !== null) {
      // The kernel lets go of the files of a process that has ended a little later.
      const unmounted = () => succeeds('umount', [mount.directory]);
      await eventually('the pool can be unmounted', unmounted, wakeTimeoutMs);
      await succeeds('chattr', ['-i', mount.directory]);
    }
    await succeeds('cryptsetup', ['close', 'cairn-fast']);
  }
}

function succeeds(program: string, args: readonly string[]): Promise<boolean> {
  return run(program, args).then(
    () => true,
    () => false,
  );
}

function mountOf(pool: string): { directory: string; options: string[] } | null {
  const lines = readFileSync('/proc/mounts', 'utf8').split('\n');
  const [, directory, , options] =
    lines.find((line) => line.startsWith(`/dev/mapper/cairn-${pool} `))?.split(' ') ?? [];
  return directory === undefined ? null : { directory, options: options?.split(',') ?? [] };
}

async function readBack(cairn: RealCairn, bytes: number): Promise<Buffer> {
  const client = await NbdConnection.open(cairn.address(), 'db');
  const data = await client.read(0, bytes);
  await client.disconnect();
  return data;
}

async function written(cairn: RealCairn, data: Buffer): Promise<void> {
  const client = await NbdConnection.open(cairn.address(), 'db');
  await client.write(0, data);
  await client.flush();
  await client.disconnect();
}

describe.each([
  { fileSystem: 'ext4', sizeBytes: 128 * mebibyte, sectorSize: 512 },
  { fileSystem: 'xfs', sizeBytes: 400 * mebibyte, sectorSize: 4096 },
] as const)(
  'an encrypted pool with $fileSystem, sectors of $sectorSize bytes',
  ({ fileSystem, sizeBytes, sectorSize }) => {
    it('holds volumes as ciphertext, is there after restarts and reboots, and can be removed', async (context) => {
      needsDeviceMapper(context);
      needsTools(context, `mkfs.${fileSystem}`);
      const disk = await LoopDisk.create(sizeBytes, sectorSize);
      const host = await Host.start();
      const { cairn } = host;
      expect(await host.add('fast', '--encrypt', disk.path, '--file-system', fileSystem)).toMatchObject({
        exitCode: 0,
      });
      expect(mountOf('fast')?.options).toEqual(expect.arrayContaining(['nodev', 'nosuid', 'noexec']));
      const header = await run('cryptsetup', ['luksDump', disk.path]);
      expect(header).toContain('cipher: aes-xts-plain64');
      expect(header).toContain(`sector: ${sectorSize} [bytes]`);
      expect(header).toMatch(/PBKDF: +argon2id/);

      await cairn.serveVolume('db', { size: 16 * mebibyte });
      const data = randomBytes(mebibyte);
      await written(cairn, data);
      host.takeKey();
      await cairn.killServe();
      await cairn.startServe();
      expect((await readBack(cairn, mebibyte)).equals(data)).toBe(true);
      expect(await host.pool()).toMatchObject({ state: 'ready' });

      await host.shutDown();
      await disk.disconnect();
      const taken = await LoopDisk.create(mebibyte); // has the name now
      await disk.connect();
      expect(disk.path).not.toBe(taken.path);
      expect(readFileSync(disk.file).indexOf(data.subarray(0, 64))).toBe(-1);
      await cairn.startServe();
      await eventually(
        'the pool waits for its key',
        async () => (await host.pool())?.state === 'unavailable',
        wakeTimeoutMs,
      );
      expect((await host.pool())?.reason).toMatch(/There is no key file/);
      expect(await cairn.volume('db')).toMatchObject({
        state: 'faulted',
        reason: expect.stringMatching(/Pool fast/) as string,
      });
      host.giveKey('another');
      await eventually(
        'it is refused',
        async () => /no key slot opens/.test((await host.pool())?.reason ?? ''),
        wakeTimeoutMs,
      );
      host.giveKey(passphrase);
      await eventually(
        'it is attached again',
        async () => (await cairn.volume('db')).state === 'attached',
        wakeTimeoutMs,
      );
      expect((await readBack(cairn, mebibyte)).equals(data)).toBe(true);

      expect(await cli(cairn, 'pool', 'remove', 'fast')).toMatchObject({
        exitCode: 1,
        stderr: expect.stringContaining('db') as string,
      });
      await cairn.deleteVolume('db');
      expect(await cli(cairn, 'pool', 'remove', 'fast')).toMatchObject({ exitCode: 0 });
      expect(mountOf('fast')).toBeNull();
      const stock = new Cryptsetup(passphrase, 'cairn-test');
      await stock.open(disk.path, '--readonly');
      expect(await run('wipefs', ['--noheadings', '--output', 'TYPE', stock.path])).toContain(fileSystem);
    });
  },
);

describe('a device', () => {
  it('that holds something, is used or is too small is refused, and left as it is', async (context) => {
    needsDeviceMapper(context);
    const host = await Host.start();
    const disk = await LoopDisk.create(128 * mebibyte);
    await run('mkfs.ext4', ['-q', '-F', disk.path]);
    const before = readFileSync(disk.file);
    const refused = async (path: string, reason: RegExp) => {
      expect(await host.add('fast', '--encrypt', path)).toMatchObject({
        exitCode: 1,
        stderr: expect.stringMatching(reason) as string,
      });
    };
    await refused(disk.path, /holds a signature of ext4.*wipefs -a \/dev\/loop/);
    const place = scratchDirectory();
    await run('mount', ['-o', 'ro,noload', disk.path, place]);
    await refused(disk.path, new RegExp(`is mounted at ${place}`));
    await run('umount', [place]);
    await refused(disk.file, /is no block device/);
    await refused('/dev/none', /is no block device/);
    expect(readFileSync(disk.file).equals(before)).toBe(true);
    const small = await LoopDisk.create(64 * mebibyte - 4096);
    await refused(small.path, /has 63 MiB, and a pool needs 64 MiB/);
    expect(await host.pool()).toBeUndefined();
  });

  it('is blank again when its pool cannot be made', async (context) => {
    needsDeviceMapper(context);
    const host = await Host.start();
    const disk = await LoopDisk.create(128 * mebibyte);
    host.takeKey();
    expect(await host.add('fast', '--encrypt', disk.path)).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining('no key file') as string,
    });
    expect(await run('wipefs', ['--noheadings', disk.path])).toBe('');
    host.giveKey(passphrase);
    expect(await host.add('fast', '--encrypt', disk.path)).toMatchObject({ exitCode: 0 });
  });

  it('that is away leaves a place in which nothing can be made', async (context) => {
    needsDeviceMapper(context);
    const host = await Host.start();
    const disk = await LoopDisk.create(128 * mebibyte);
    await host.add('fast', '--encrypt', disk.path);
    const { directory } = (await host.pool()) ?? { directory: '' };
    await host.cairn.serveVolume('db', { size: mebibyte });
    await host.cairn.detach('db');
    await run('umount', [directory]);
    expect(await cli(host.cairn, 'volume', 'attach', 'db')).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining('Pool fast') as string,
    });
    expect(await cli(host.cairn, 'volume', 'delete', 'db', '--yes')).toMatchObject({ exitCode: 1 });
    if (await isImmutable(directory)) expect(() => mkdirSync(join(directory, 'replicas'))).toThrow('EPERM');
    else expect(dirname(directory)).toContain('pools'); // this file system does not know the attribute
  });
});

async function isImmutable(directory: string): Promise<boolean> {
  const printed = await run('lsattr', ['-d', directory]).catch(() => '');
  return /^\S*i/.test(printed);
}
