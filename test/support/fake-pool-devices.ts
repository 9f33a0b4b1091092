/**
 * PoolDevices in memory that answers as a kernel does. The disks, mappings and mounts are one object, which outlives the services that use it:
 * what a restarted service finds.
 */
import { mkdirSync } from 'node:fs';
import type { PoolDeviceId } from '../../src/engine/native.js';
import type { FileSystem, Mapping, PoolDevices } from '../../src/engine/pool-devices.js';
import { CairnError } from '../../src/errors.js';
import type { KeyRef } from '../../src/keys/key-source.js';

export interface FakeDisk {
  sizeBytes: number;
  /** What somebody else has put there. */
  signature: string | null;
  luks: { uuid: string; passphrase: string } | null;
  /** Its plaintext holds this; what is half made does not mount. */
  fileSystem: { isWhole: boolean; id: number } | null;
  isPresent: boolean;
}

interface FakeMapping {
  path: string;
  uuid: string;
}

export class FakeHost {
  readonly disks = new Map<string, FakeDisk>();
  readonly mappings = new Map<string, FakeMapping>();
  /** By directory: the mapping. */
  readonly mounts = new Map<string, string>();
  readonly passphrases = new Map<string, string>();
  /** Directories that have open files. */
  readonly busy = new Set<string>();
  hostError: CairnError | null = null;
  /** How many file systems were made. */
  made = 0;

  addDisk(path: string, disk: Partial<FakeDisk> = {}): FakeDisk {
    const added = { sizeBytes: 2 ** 30, signature: null, luks: null, fileSystem: null, isPresent: true, ...disk };
    this.disks.set(path, added);
    return added;
  }

  /** As after a reboot: nothing is open any more. */
  reboot(): void {
    this.mounts.clear();
    this.mappings.clear();
  }

  /** Under another name, as kernels do. */
  rename(from: string, to: string): void {
    const disk = this.disk(from);
    this.disks.delete(from);
    this.disks.set(to, disk);
  }

  disk(path: string): FakeDisk {
    const disk = this.disks.get(path);
    if (disk?.isPresent) return disk;
    throw new CairnError('invalid-request', `${path} is no block device.`, { field: 'encryption.device' });
  }

  diskOf(mapping: string): FakeDisk {
    const disk = this.disks.get(this.mappings.get(mapping)?.path ?? '');
    if (disk) return disk;
    throw new CairnError('io-error', `There is no mapping ${mapping}.`);
  }
}

export class FakePoolDevices implements PoolDevices {
  constructor(readonly host: FakeHost = new FakeHost()) {}

  async checkHost(): Promise<void> {
    if (this.host.hostError) throw this.host.hostError;
  }

  async checkBlank(path: string, sizeMinBytes: number): Promise<void> {
    const disk = this.host.disk(path);
    const signature = disk.luks ? 'crypto_LUKS' : disk.signature;
    if (signature !== null) throw new CairnError('device-not-blank', `${path} holds a signature of ${signature}.`);
    if (disk.sizeBytes < sizeMinBytes) throw new CairnError('invalid-request', `${path} is too small.`);
  }

  async find(uuid: string): Promise<string | null> {
    const found = [...this.host.disks].find(([, { luks, isPresent }]) => isPresent && luks?.uuid === uuid);
    return found?.[0] ?? null;
  }

  async format({ path, uuid }: PoolDeviceId, key: KeyRef): Promise<void> {
    const passphrase = this.passphraseOf(key);
    const disk = this.host.disk(path);
    if (disk.luks?.uuid === uuid) return;
    Object.assign(disk, { luks: { uuid, passphrase }, fileSystem: null, signature: null });
  }

  async wipe(path: string): Promise<void> {
    Object.assign(this.host.disk(path), { luks: null, fileSystem: null });
  }

  async mapping(name: string): Promise<Mapping | null> {
    const found = this.host.mappings.get(name);
    return found ? { uuid: found.uuid, isOrphan: !this.host.disks.get(found.path)?.isPresent } : null;
  }

  async open({ path, uuid }: PoolDeviceId, mapping: string, key: KeyRef): Promise<void> {
    const { luks } = this.host.disk(path);
    if (luks?.passphrase !== this.passphraseOf(key))
      throw new CairnError('wrong-passphrase', 'no key slot opens with this passphrase');
    this.host.mappings.set(mapping, { path, uuid });
  }

  async close(mapping: string): Promise<void> {
    if ([...this.host.mounts.values()].includes(mapping))
      throw new CairnError('device-in-use', `${mapping} is in use.`);
    this.host.mappings.delete(mapping);
  }

  async isBlank(mapping: string): Promise<boolean> {
    return this.host.diskOf(mapping).fileSystem === null;
  }

  async makeFileSystem(mapping: string, _fileSystem: FileSystem): Promise<void> {
    this.host.diskOf(mapping).fileSystem = { isWhole: false, id: 0 };
    await Promise.resolve();
    this.host.diskOf(mapping).fileSystem = { isWhole: true, id: ++this.host.made };
  }

  async isMounted(mapping: string, directory: string): Promise<boolean> {
    const mounted = this.host.mounts.get(directory);
    if (mounted !== undefined && mounted !== mapping)
      throw new CairnError('pool-unavailable', `${mounted} is mounted at ${directory}.`);
    return mounted === mapping;
  }

  async mount(mapping: string, directory: string): Promise<void> {
    if (!this.host.diskOf(mapping).fileSystem?.isWhole) throw new CairnError('io-error', 'mount: wrong fs type.');
    mkdirSync(directory, { recursive: true });
    this.host.mounts.set(directory, mapping);
  }

  async unmount(directory: string): Promise<void> {
    if (this.host.busy.has(directory)) throw new CairnError('pool-in-use', `Files in ${directory} are open.`);
    this.host.mounts.delete(directory);
  }

  private passphraseOf({ key }: KeyRef): string {
    const passphrase = this.host.passphrases.get(key);
    if (passphrase === undefined) throw new CairnError('key-unavailable', `There is no key ${key}.`);
    return passphrase;
  }
}
