/** {@link PoolDevices} of this host: libcryptsetup in the data-plane process that listens, the rest by the system's own programs. */
import { chmod, mkdir, open, realpath, rmdir } from 'node:fs/promises';
import { CairnError } from '../errors.js';
import type { KeyRef, KeySource } from '../keys/key-source.js';
import { blockDevice, mappingOf, mounts, userOf, type BlockDevice } from './block-device-facts.js';
import { keyTimeoutMs } from './data-plane-connection.js';
import type { PoolDeviceId } from './native.js';
import type { FileSystem, Mapping, PoolDevices } from './pool-devices.js';
import type { DataPlaneCalls } from './supervised-process.js';
import { attempt, run } from './system-programs.js';

const controlDevice = '/dev/mapper/control';
const slowly = { timeoutMs: keyTimeoutMs };
const ownerOnly = 0o700;
/** What a pool holds is data, whatever somebody has put there. */
const mountOptions = 'nodev,nosuid,noexec';
/** Exit codes of blkid(8) and umount(8). */
const nothingFound = 2;
const umountFailed = 32;

export class KernelPoolDevices implements PoolDevices {
  constructor(
    private readonly calls: () => Promise<DataPlaneCalls>,
    private readonly keys: KeySource,
  ) {}

  async checkHost(): Promise<void> {
    try {
      await (await open(controlDevice, 'r+')).close();
    } catch (cause) {
      throw hostError(cause);
    }
  }

  async checkBlank(path: string, sizeMinBytes: number): Promise<void> {
    const device = await blockDevice(path);
    const user = await userOf(device);
    if (user !== null) throw refused('device-in-use', device, `is ${user}. Free it first, or name another device.`);
    const signatures = await signaturesOf(device.path);
    if (signatures.length > 0)
      throw refused(
        'device-not-blank',
        device,
        `holds ${signatures.join(', ')}. If nothing of it is needed any more, clear it: wipefs -a ${device.path}`,
      );
    if (device.isReadOnly) throw refused('device-in-use', device, 'is read-only.');
    if (device.sizeBytes < sizeMinBytes) {
      const sizes = `has ${mebibytes(device.sizeBytes)} MiB, and a pool needs ${mebibytes(sizeMinBytes)}`;
      throw refused('invalid-request', device, `${sizes}. Name a larger device.`);
    }
  }

  async find(uuid: string): Promise<string | null> {
    const args = ['--cache-file', '/dev/null', '--match-token', `UUID=${uuid}`, '--output', 'device'];
    const { status, stdout, message } = await attempt('blkid', args);
    if (status === nothingFound) return null;
    if (status !== 0) throw new CairnError('io-error', `blkid failed with status ${status}: ${message}.`);
    const [device = null, ...others] = stdout.split('\n').filter((line) => line !== '');
    if (others.length === 0) return device;
    throw new CairnError(
      'pool-unavailable',
      `Several devices have the LUKS2 header ${uuid}: ${[device, ...others].join(', ')}. Take away those that are copies.`,
    );
  }

  format(device: PoolDeviceId, key: KeyRef): Promise<void> {
    return this.keys.use(key, async (passphrase) => {
      const calls = await this.calls();
      await calls.formatPoolDevice({ device, passphrase }, slowly);
    });
  }

  async wipe(path: string): Promise<void> {
    await run('wipefs', '--all', '--quiet', path);
  }

  mapping(name: string): Promise<Mapping | null> {
    return mappingOf(name);
  }

  open(device: PoolDeviceId, mapping: string, key: KeyRef): Promise<void> {
    return this.keys.use(key, async (passphrase) => {
      const calls = await this.calls();
      await calls.openPoolDevice({ device, mapping, passphrase }, slowly);
    });
  }

  async close(mapping: string): Promise<void> {
    if ((await mappingOf(mapping)) === null) return;
    const calls = await this.calls();
    await calls.closePoolDevice({ mapping }, slowly);
  }

  async isBlank(mapping: string): Promise<boolean> {
    return (await signaturesOf(pathOf(mapping))).length === 0;
  }

  async makeFileSystem(mapping: string, fileSystem: FileSystem): Promise<void> {
    if (fileSystem === 'ext4') await run('mkfs.ext4', '-q', '-F', '-m', '0', pathOf(mapping));
    else await run('mkfs.xfs', '-q', '-f', pathOf(mapping));
  }

  async isMounted(mapping: string, directory: string): Promise<boolean> {
    const real = await realpath(directory).catch(() => directory);
    const found = (await mounts()).findLast((mount) => mount.directory === real);
    if (!found) return false;
    const device = await blockDevice(pathOf(mapping)).catch(() => null);
    if (device !== null && found.number === device.number) return true;
    throw new CairnError(
      'pool-unavailable',
      `${found.source} is mounted at ${directory}, where ${pathOf(mapping)} belongs. Unmount it: umount ${directory}`,
    );
  }

  async mount(mapping: string, directory: string, fileSystem: FileSystem): Promise<void> {
    await mkdir(directory, { recursive: true, mode: ownerOnly });
    await setImmutable(directory, true);
    await run('mount', '-t', fileSystem, '-o', mountOptions, pathOf(mapping), directory);
    await chmod(directory, ownerOnly);
  }

  async unmount(directory: string): Promise<void> {
    const real = await realpath(directory).catch(() => null);
    if (real === null) return;
    if ((await mounts()).some((mount) => mount.directory === real)) await unmountNow(real);
    await setImmutable(real, false);
    await rmdir(real);
  }
}

async function unmountNow(directory: string): Promise<void> {
  const { status, message } = await attempt('umount', [directory]);
  if (status === umountFailed && /busy/.test(message))
    throw new CairnError('pool-in-use', `Files in ${directory} are open. Detach the volumes of the pool first.`);
  if (status !== 0) throw new CairnError('io-error', `umount failed with status ${status}: ${message}.`);
}

/**
 * Nothing must be written beneath a mount point while nothing is mounted there, for it would be on another disk, not encrypted and out of
 * sight as soon as the pool is back. Not all file systems know the attribute; the control plane looks at the mount besides.
 */
async function setImmutable(directory: string, isImmutable: boolean): Promise<void> {
  await attempt('chattr', [isImmutable ? '+i' : '-i', directory]);
}

/** What wipefs(8) would clear, e.g. `a signature of ext4`. */
async function signaturesOf(device: string): Promise<string[]> {
  const lines = (await run('wipefs', '--noheadings', '--output', 'TYPE', device)).split('\n');
  const types = new Set(lines.map((line) => line.trim()).filter((type) => type !== ''));
  return [...types].map((type) => `a signature of ${type}`);
}

function mebibytes(bytes: number): number {
  return Math.floor(bytes / 2 ** 20);
}

function pathOf(mapping: string): string {
  return `/dev/mapper/${mapping}`;
}

function refused(
  code: 'device-in-use' | 'device-not-blank' | 'invalid-request',
  { path }: BlockDevice,
  what: string,
): CairnError {
  return new CairnError(code, `${path} ${what}`, { field: 'encryption.device' });
}

function hostError(cause: unknown): CairnError {
  const { code } = cause as NodeJS.ErrnoException;
  if (code === 'EACCES' || code === 'EPERM')
    return new CairnError(
      'permission-denied',
      'Only root may use device-mapper, which encrypted pools need. Run `cairn serve` as root, or name a directory that is encrypted already.',
      { cause },
    );
  return new CairnError(
    'device-mapper-unavailable',
    `This host has no device-mapper (${controlDevice}: ${code ?? 'unknown error'}). Load it with \`modprobe dm-crypt\`; a kernel without it can have encrypted volumes, but no encrypted pools.`,
    { cause },
  );
}
