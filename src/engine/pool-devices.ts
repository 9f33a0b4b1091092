/**
 * What the kernel does for encrypted pools: dm-crypt, file systems, mounts. Each call looks at what is, and none remembers anything, so that
 * whoever decides can repeat it after a crash.
 */
import type { KeyRef } from '../keys/key-source.js';
import type { PoolDeviceId } from './native.js';

export type FileSystem = 'ext4' | 'xfs';

/** A mapping of device-mapper, which outlives all processes. */
export interface Mapping {
  /** Of the LUKS2 header; empty when it is no LUKS2 mapping. */
  uuid: string;
  /** Its device was taken away: what is mounted of it fails. */
  isOrphan: boolean;
}

export interface PoolDevices {
  /** Throws `device-mapper-unavailable`, or `permission-denied` when only root may use it. */
  checkHost(): Promise<void>;
  /** Throws unless it is a block device of so many bytes that nobody uses and that holds nothing known. */
  checkBlank(path: string, sizeMinBytes: number): Promise<void>;
  /** The device that has this LUKS2 header; `null` when there is none. Throws `pool-unavailable` when there are several. */
  find(uuid: string): Promise<string | null>;
  /** Makes it a LUKS2 device; one that has this UUID and a key slot already is left as it is. */
  format(device: PoolDeviceId, key: KeyRef): Promise<void>;
  /** Takes every signature away: the device is blank. */
  wipe(path: string): Promise<void>;

  mapping(name: string): Promise<Mapping | null>;
  open(device: PoolDeviceId, mapping: string, key: KeyRef): Promise<void>;
  /** Nothing to do when there is none. */
  close(mapping: string): Promise<void>;

  /** Whether the mapping holds anything known. */
  isBlank(mapping: string): Promise<boolean>;
  makeFileSystem(mapping: string, fileSystem: FileSystem): Promise<void>;
  /** Whether what is mounted in the directory is of the mapping. Throws `pool-unavailable` when it is something else. */
  isMounted(mapping: string, directory: string): Promise<boolean>;
  /** Makes the directory, in which nothing can be made while nothing is mounted there. */
  mount(mapping: string, directory: string, fileSystem: FileSystem): Promise<void>;
  /** Removes the directory too. Nothing to do when it is not there. Throws `pool-in-use` while files are open. */
  unmount(directory: string): Promise<void>;
}
