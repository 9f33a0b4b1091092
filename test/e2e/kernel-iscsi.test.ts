/** The kernel's initiator on Cairn's volumes: open-iscsi, file systems, multipath and reservations, as hosts use them. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeEach, expect, it, onTestFinished } from 'vitest';
import { endDaemon, KernelInitiator, needsKernelInitiator, type ScsiDisk } from '../support/kernel-initiator.js';
import type { RealCairn } from '../support/real-cairn.js';
import { cli } from '../support/real-cli.js';
import { eventually } from '../support/real-deadline.js';
import { freshCairn } from '../support/real-fixture.js';
import { isRunning } from '../support/real-process.js';
import { needsTools, run } from '../support/real-tools.js';
import { scratchDirectory } from '../support/scratch.js';
import { TcpPath } from '../support/tcp-path.js';

const mebibyte = 2 ** 20;
const sizeBytes = 128 * mebibyte;
const secret = 'sixteen-letters-';
/** A path that is gone is given up after so many seconds, where another one is there. */
const quick = { 'node.session.timeo.replacement_timeout': 1, 'node.session.initial_login_retry_max': 2 };

beforeEach((context) => needsKernelInitiator(context));
afterAll(() => endDaemon());

async function served(environment: Record<string, string> = {}): Promise<RealCairn> {
  const cairn = await freshCairn({ environment });
  await cairn.createVolume('db', { size: sizeBytes });
  await cairn.attach('db', 'iscsi');
  return cairn;
}

async function loggedIn(cairn: RealCairn, settings: Record<string, string | number> = {}): Promise<ScsiDisk> {
  const initiator = await KernelInitiator.start();
  return initiator.logIn({ target: cairn.targetName('db'), portal: cairn.iscsiPortal }, settings);
}

/** Unmounted after the running test. */
async function mount(device: string, ...options: string[]): Promise<string> {
  const mountPoint = join(scratchDirectory(), 'mnt');
  mkdirSync(mountPoint);
  await run('mount', ['-t', 'ext4', ...options, device, mountPoint]);
  onTestFinished(() => unmount(mountPoint).catch(() => {}));
  return mountPoint;
}

async function unmount(mountPoint: string): Promise<void> {
  await run('umount', [mountPoint]);
}

/** Random writes that are read again and compared, on a device or a file. */
function verifyArguments(path: string, ...more: string[]): string[] {
  const io = ['--rw=randwrite', '--bs=4k', '--size=32m', '--iodepth=16', '--ioengine=libaio', '--direct=1'];
  const check = ['--verify=crc32c', '--do_verify=1', '--verify_fatal=1', '--fsync=64'];
  return ['--name=verify', `--filename=${path}`, ...io, ...check, ...more];
}

/** Random writes that are verified, again and again until it is told to stop; then it resolves, or rejects with what failed. */
function verifying(device: string): { stop: () => Promise<void> } {
  let isWanted = true;
  let failure: unknown;
  const repeat = async () => {
    while (isWanted) await run('fio', verifyArguments(device, '--size=8m', '--rate_iops=2000'));
  };
  const ended = repeat().catch((error: unknown) => {
    failure = error;
  });
  const stop = async () => {
    isWanted = false;
    await ended;
    if (failure !== undefined) throw failure as Error;
  };
  onTestFinished(() => {
    isWanted = false;
  });
  return { stop };
}

/** Sectors that were written to the disk so far. */
function sectorsWritten(disk: ScsiDisk): number {
  return Number(
    readFileSync(join(disk.queue, '..', 'stat'), 'utf8')
      .trim()
      .split(/\s+/)[6],
  );
}

async function moreWritten(disk: ScsiDisk, sectors: number): Promise<void> {
  const goal = sectorsWritten(disk) + sectors;
  await eventually(`${sectors} more sectors are written`, () => sectorsWritten(disk) >= goal, 60_000);
}

it('a discovered target gets a file system, which survives a new login, and a trim gives space back', async (context) => {
  needsTools(context, 'fio', 'fstrim', 'e2fsck');
  const cairn = await served();
  const initiator = await KernelInitiator.start();
  expect(await initiator.discover(cairn.iscsiPortal)).toEqual([cairn.targetName('db')]);
  const disk = await loggedIn(cairn);
  expect(await disk.size()).toBe(sizeBytes);
  expect(readFileSync(join(disk.queue, 'write_cache'), 'utf8').trim()).toBe('write back');
  expect(Number(readFileSync(join(disk.queue, 'discard_max_bytes'), 'utf8'))).toBeGreaterThan(0);

  await run('mkfs.ext4', ['-q', '-F', disk.device]);
  const directory = await mount(disk.device);
  await run('fio', verifyArguments(join(directory, 'file')));
  writeFileSync(join(directory, 'note'), 'kept');
  await run('fstrim', [directory]);
  const allocated = async () => (await cairn.volume('db')).allocatedBytes ?? 0;
  const full = await allocated();
  await run('rm', [join(directory, 'file')]);
  await run('sync', []);
  await run('fstrim', [directory]);
  expect(await allocated()).toBeLessThan(full - 24 * mebibyte);
  await unmount(directory);
  await run('e2fsck', ['-f', '-n', disk.device]);
  await disk.logOut();

  const again = await loggedIn(cairn);
  const other = await mount(again.device, '-o', 'ro');
  expect(readFileSync(join(other, 'note'), 'utf8')).toBe('kept');
  await unmount(other);
});

it('digests protect headers and data', async (context) => {
  needsTools(context, 'fio');
  const cairn = await served();
  const disk = await loggedIn(cairn, {
    'node.conn[0].iscsi.HeaderDigest': 'CRC32C',
    'node.conn[0].iscsi.DataDigest': 'CRC32C',
  });
  const connection = `${disk.sessionDirectory.replace('iscsi_session/session', 'iscsi_connection/connection')}:0`;
  expect(readFileSync(join(connection, 'data_digest'), 'utf8').trim()).toBe('1');
  await run('fio', verifyArguments(disk.device));
});

it.each([
  [
    'R2T first, no immediate data',
    { 'node.session.iscsi.InitialR2T': 'Yes', 'node.session.iscsi.ImmediateData': 'No' },
  ],
  ['small bursts', { 'node.session.iscsi.FirstBurstLength': 4096, 'node.session.iscsi.MaxBurstLength': 16384 }],
  ['small segments', { 'node.conn[0].iscsi.MaxRecvDataSegmentLength': 4096 }],
])('data goes through with %s', async (_, settings) => {
  const cairn = await served();
  const disk = await loggedIn(cairn, settings);
  await run('fio', verifyArguments(disk.device, '--bsrange=4k-512k'));
});

it('CHAP lets those in who know the secret, in both directions', async () => {
  const keys = join(scratchDirectory(), 'keys');
  mkdirSync(keys, { mode: 0o700 });
  writeFileSync(join(keys, 'login'), secret, { mode: 0o600 });
  writeFileSync(join(keys, 'back'), `${secret}back`, { mode: 0o600 });
  const cairn = await served({ CAIRN_KEYS_DIRECTORY: keys });
  const chap = ['--chap-user', 'alice', '--chap-secret', 'login', '--mutual-user', 'cairn', '--mutual-secret', 'back'];
  expect(await cli(cairn, 'access', 'set', 'db', ...chap)).toMatchObject({ exitCode: 0 });
  const name = 'node.session.auth';
  const right = {
    [`${name}.authmethod`]: 'CHAP',
    [`${name}.username`]: 'alice',
    [`${name}.password`]: secret,
    [`${name}.username_in`]: 'cairn',
    [`${name}.password_in`]: `${secret}back`,
    'node.session.initial_login_retry_max': 1,
  };
  await expect(loggedIn(cairn, { 'node.session.initial_login_retry_max': 1 })).rejects.toThrow();
  await expect(loggedIn(cairn, { ...right, [`${name}.password`]: 'another-secret' })).rejects.toThrow();
  await expect(loggedIn(cairn, { ...right, [`${name}.password_in`]: 'another-secret' })).rejects.toThrow();
  const disk = await loggedIn(cairn, right);
  expect(await disk.size()).toBe(sizeBytes);
});

it('a volume that grows is larger after a rescan, while it is mounted', async (context) => {
  needsTools(context, 'resize2fs');
  const cairn = await served();
  const disk = await loggedIn(cairn);
  await run('mkfs.ext4', ['-q', '-F', disk.device]);
  const directory = await mount(disk.device);
  await cairn.resize('db', 2 * sizeBytes);
  disk.rescan();
  await eventually('the kernel sees the new size', async () => (await disk.size()) === 2 * sizeBytes);
  await run('resize2fs', [disk.device]);
  await unmount(directory);
  await run('e2fsck', ['-f', '-n', disk.device]);
});

it('a session recovers by itself from the restart of the service and from kill -9 of the data plane', async (context) => {
  needsTools(context, 'fio');
  const cairn = await served();
  const disk = await loggedIn(cairn);
  const load = verifying(disk.device);
  await moreWritten(disk, 4096);
  await cairn.stopServe();
  await moreWritten(disk, 4096);
  await cairn.startServe();
  await moreWritten(disk, 4096);
  const pid = await cairn.holderOf('db');
  process.kill(pid, 'SIGKILL');
  await eventually('the process has ended', () => !isRunning(pid));
  await moreWritten(disk, 4096);
  await load.stop();
});

it('a volume with two paths goes on when one is cut', async (context) => {
  needsTools(context, 'fio', 'dmsetup');
  const targets = await run('dmsetup', ['targets']).catch(() => '');
  if (!targets.includes('multipath')) context.skip('the kernel has no dm-multipath (or it is not loaded)');
  const cairn = await served();
  const initiator = await KernelInitiator.start();
  const path = await TcpPath.open(Number(cairn.iscsiPortal.split(':')[1]));
  const target = cairn.targetName('db');
  const first = await initiator.logIn({ target, portal: path.address }, quick);
  const second = await initiator.logIn({ target, portal: cairn.iscsiPortal }, quick);
  const identifier = async (disk: ScsiDisk) => run('sg_vpd', ['--page=di', '--quiet', disk.device]).catch(() => '');
  expect(await identifier(first)).not.toBe('');

  // One group a path: the second is used when the first is gone.
  const group = ({ device }: ScsiDisk) => `round-robin 0 1 1 ${device} 1000`;
  const table = `0 ${sizeBytes / 512} multipath 0 0 2 1 ${group(first)} ${group(second)}`;
  await run('dmsetup', ['create', 'cairn-test', '--table', table]);
  onTestFinished(async () => {
    await run('dmsetup', ['remove', '--force', '--retry', 'cairn-test']);
  });
  await run('dmsetup', ['mknodes']);
  const load = verifying('/dev/mapper/cairn-test');
  await moreWritten(first, 2048);
  path.cut();
  await moreWritten(second, 2048);
  await load.stop();
  const status = await run('dmsetup', ['status', 'cairn-test']);
  expect(status).toMatch(/ F 1 .* A 0 /);
});

it('two initiators share the volume by persistent reservations', async (context) => {
  needsTools(context, 'sg_persist', 'dd');
  const cairn = await served();
  const initiator = await KernelInitiator.start();
  const path = { target: cairn.targetName('db'), portal: cairn.iscsiPortal };
  await initiator.addInitiator('cairn-one', 'iqn.2026-11.test:one');
  await initiator.addInitiator('cairn-two', 'iqn.2026-11.test:two');
  const one = await initiator.logIn({ ...path, interfaceName: 'cairn-one' });
  const two = await initiator.logIn({ ...path, interfaceName: 'cairn-two' });
  const out = (disk: ScsiDisk, ...args: string[]) => run('sg_persist', ['--out', ...args, disk.device]);
  const keys = (disk: ScsiDisk) => run('sg_persist', ['--in', '--read-keys', disk.device]);
  const writes = (disk: ScsiDisk) =>
    run('dd', ['if=/dev/zero', `of=${disk.device}`, 'bs=4096', 'count=1', 'oflag=direct']).then(
      () => true,
      () => false,
    );

  await out(one, '--register', '--param-sark=0x1111');
  await out(two, '--register', '--param-sark=0x2222');
  expect(await keys(two)).toMatch(/0x1111[\s\S]*0x2222/);
  await out(one, '--reserve', '--param-rk=0x1111', '--prout-type=1'); // write exclusive
  expect([await writes(one), await writes(two)]).toEqual([true, false]);
  await out(two, '--preempt', '--param-rk=0x2222', '--param-sark=0x1111', '--prout-type=1');
  expect([await writes(one), await writes(two)]).toEqual([false, true]);

  await cairn.detach('db', true);
  await cairn.attach('db', 'iscsi');
  await eventually('the session is there again', async () => (await keys(two).catch(() => '')) !== '', 60_000);
  expect(await keys(two)).not.toContain('0x2222'); // no APTPL was asked for
  await out(two, '--register', '--param-sark=0x3333', '--param-aptpl');
  await out(two, '--reserve', '--param-rk=0x3333', '--prout-type=3'); // exclusive access
  process.kill(await cairn.holderOf('db'), 'SIGKILL');
  await eventually(
    'the session is there again',
    async () => (await keys(two).catch(() => '')).includes('0x3333'),
    60_000,
  );
  expect(await writes(one)).toBe(false);
  await out(two, '--clear', '--param-rk=0x3333');
  expect(await writes(one)).toBe(true);
});

it('sg3-utils reads every page', async (context) => {
  needsTools(context, 'sg_inq', 'sg_vpd', 'sg_readcap');
  const cairn = await served();
  const disk = await loggedIn(cairn);
  expect(await run('sg_inq', [disk.device])).toMatch(/Vendor identification: CAIRN/i);
  const pages = await run('sg_vpd', ['--page=sv', disk.device]);
  for (const page of ['sv', 'sn', 'di', 'ei', 'bl', 'bdc', 'lbpv']) expect(pages).toContain(`[${page}]`);
  expect(await run('sg_vpd', ['--page=di', disk.device])).toMatch(/NAA[^\n]*\n\s+0x3[0-9a-f]{15}\n/);
  expect(await run('sg_vpd', ['--page=bl', disk.device])).toMatch(/Maximum unmap LBA count: (0x)?[1-9a-f-]/);
  expect(await run('sg_vpd', ['--page=bdc', disk.device])).toContain('Non-rotating medium');
  expect(await run('sg_vpd', ['--page=lbpv', disk.device])).toMatch(/LBPU\): 1[\s\S]*LBPRZ\): 1[\s\S]*type: 2/);
  expect(await run('sg_readcap', ['--long', disk.device])).toMatch(/lbpme=1, lbprz=1/);
});
