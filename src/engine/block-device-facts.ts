/** What the kernel says about a block device: in /sys (Documentation/ABI/stable/sysfs-block) and /proc. */
import { constants } from 'node:fs';
import { open, readdir, readFile, readlink, realpath, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { CairnError } from '../errors.js';
import type { Mapping } from './pool-devices.js';

const sysfsSectorBytes = 512;
const luksUuidPrefix = 'CRYPT-LUKS2-';

export interface BlockDevice {
  /** Without links: `/dev/sdb`. */
  path: string;
  /** As /proc writes it: `8:16`. */
  number: string;
  sizeBytes: number;
  isReadOnly: boolean;
}

/** Throws `invalid-request` naming `encryption.device` when it is none. */
export async function blockDevice(path: string): Promise<BlockDevice> {
  const real = await realpath(path).catch(() => null);
  const found = real === null ? null : await stat(real);
  if (real === null || !found?.isBlockDevice())
    throw new CairnError('invalid-request', `${path} is no block device. Name one, e.g. /dev/sdb.`, {
      field: 'encryption.device',
    });
  const number = numberOf(found.rdev);
  const facts = join('/sys/dev/block', number);
  return {
    path: real,
    number,
    sizeBytes: Number(await readFile(join(facts, 'size'), 'utf8')) * sysfsSectorBytes,
    isReadOnly: (await readFile(join(facts, 'ro'), 'utf8')).trim() === '1',
  };
}

/** What uses the device, in words; `null` when nothing does: then the kernel gives it to us alone. */
export async function userOf({ path, number }: BlockDevice): Promise<string | null> {
  try {
    const file = await open(path, constants.O_RDONLY | constants.O_EXCL);
    await file.close();
    return null;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EBUSY') throw error;
    return (await mountOf(number)) ?? (await holderOf(number)) ?? 'in use by the kernel or another program';
  }
}

async function mountOf(number: string): Promise<string | null> {
  const mount = (await mounts()).find((each) => each.number === number);
  return mount ? `mounted at ${mount.directory}` : null;
}

async function holderOf(number: string): Promise<string | null> {
  const holders = await readdir(join('/sys/dev/block', number, 'holders')).catch(() => []);
  return holders.length === 0 ? null : `in use by ${holders.map((holder) => `/dev/${holder}`).join(', ')}`;
}

interface Mount {
  number: string;
  directory: string;
  source: string;
}

/** What is mounted, the latest last (proc_pid_mountinfo(5)). */
export async function mounts(): Promise<Mount[]> {
  const lines = (await readFile('/proc/self/mountinfo', 'utf8')).trimEnd().split('\n');
  return lines.map((line) => {
    const [place = '', origin = ''] = line.split(' - ');
    const [, , number = '', , directory = ''] = place.split(' ');
    return { number, directory: unescaped(directory), source: unescaped(origin.split(' ')[1] ?? '') };
  });
}

/** The mapping of device-mapper with this name; `null` when there is none. */
export async function mappingOf(name: string): Promise<Mapping | null> {
  for (const block of await readdir('/sys/block')) {
    const facts = join('/sys/block', block);
    if (!block.startsWith('dm-') || (await fact(join(facts, 'dm/name'))) !== name) continue;
    const uuid = uuidOf(await fact(join(facts, 'dm/uuid')));
    return { uuid, isOrphan: await isOrphan(join(facts, 'slaves')) };
  }
  return null;
}

async function fact(path: string): Promise<string> {
  return (await readFile(path, 'utf8').catch(() => '')).trim();
}

/** The links to its devices lead nowhere when those were taken away. */
async function isOrphan(slaves: string): Promise<boolean> {
  const links = await readdir(slaves).catch(() => []);
  const present = await Promise.all(links.map((link) => isThere(join(slaves, link))));
  return !present.includes(true);
}

async function isThere(link: string): Promise<boolean> {
  const target = await readlink(link).catch(() => '');
  if (target === '') return false;
  return stat(join('/sys/class/block', basename(target))).then(
    () => true,
    () => false,
  );
}

/** libcryptsetup writes `CRYPT-LUKS2-`, the UUID without dashes, a dash and the name. */
function uuidOf(text: string): string {
  if (!text.startsWith(luksUuidPrefix)) return '';
  const digits = text.slice(luksUuidPrefix.length, luksUuidPrefix.length + 32);
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

/** makedev(3) of glibc, as far as the kernel has numbers. */
function numberOf(device: number): string {
  const major = (device >>> 8) & 0xfff;
  const minor = (device & 0xff) | ((device >>> 12) & 0xfff00);
  return `${major}:${minor}`;
}

/** Blanks and the like are octal there. */
function unescaped(text: string): string {
  return text.replaceAll(/\\([0-7]{3})/g, (_match, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}
