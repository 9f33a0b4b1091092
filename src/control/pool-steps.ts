/**
 * The steps that pools are moved by. Operations take them when they are asked to, {@link PoolKeeper} when it finds them untaken; so each looks at
 * what is, and can be taken again. All of them run inside the pool's mutex.
 */
import type { PoolDevices } from '../engine/pool-devices.js';
import { CairnError, hasCode } from '../errors.js';
import type { ControlParts } from './parts.js';
import { isDirectory, mappingName } from './pools.js';
import type { PoolEncryption, PoolRecord, Stored } from './records.js';

/** The LUKS2 header and a file system that is worth it; xfs makes none smaller than 300 MiB. */
const mebibyte = 2 ** 20;
export const deviceMinBytes: Readonly<Record<PoolEncryption['fileSystem'], number>> = {
  ext4: 64 * mebibyte,
  xfs: 320 * mebibyte,
};
const namesShownMax = 5;

export class PoolSteps {
  constructor(
    private readonly parts: ControlParts,
    private readonly devices: PoolDevices,
  ) {}

  /** `creating` -> LUKS2 -> file system -> mounted -> `ready`. It holds no data before, so what is half made may be made anew. */
  async finishCreate(stored: Stored<PoolRecord>): Promise<Stored<PoolRecord>> {
    const { record } = stored;
    if (record.encryption) await this.make(record, record.encryption);
    return this.parts.records.pools.change(stored, { state: 'ready' });
  }

  /** Of a pool that holds no data: mounted no more, closed, and its device as blank as it was. */
  async finishUndo(stored: Stored<PoolRecord>): Promise<void> {
    const { record } = stored;
    if (record.encryption) {
      await this.takeDown(record);
      const path = await this.devices.find(record.encryption.uuid);
      if (path !== null) await this.devices.wipe(path);
    }
    await this.parts.records.pools.remove(stored);
  }

  /** `removing` -> mounted no more -> closed -> record gone. Back to `ready`, with `pool-in-use`, when volumes live there. */
  async finishRemove(stored: Stored<PoolRecord>): Promise<void> {
    const { record } = stored;
    try {
      await this.checkEmpty(record);
      if (record.encryption) await this.takeDown(record);
    } catch (error) {
      if (hasCode(error, 'pool-in-use', 'device-in-use'))
        await this.bringUp((await this.parts.records.pools.change(stored, { state: 'ready' })).record);
      throw error;
    }
    await this.parts.records.pools.remove(stored);
  }

  /** Open and mounted, if it is not. */
  async bringUp(record: PoolRecord): Promise<void> {
    const { name, directory, encryption } = record;
    if (!encryption) {
      if (await isDirectory(directory)) return;
      throw unavailable(`There is no directory ${directory}. Mount the file system that has it.`);
    }
    if (await this.isOrphan(record, encryption)) await this.takeDown(record);
    if (await this.devices.isMounted(mappingName(name), directory)) return;
    await this.open(record, encryption);
    await this.devices.mount(mappingName(name), directory, encryption.fileSystem);
  }

  private async make(record: PoolRecord, encryption: PoolEncryption): Promise<void> {
    const { name, directory } = record;
    const { uuid, device, fileSystem } = encryption;
    const mapping = mappingName(name);
    const found = await this.devices.find(uuid);
    if (found === null) await this.devices.checkBlank(device, deviceMinBytes[fileSystem]);
    if ((await this.devices.mapping(mapping)) === null)
      await this.devices.format({ path: found ?? device, uuid }, encryption);
    await this.open(record, encryption);
    if (await this.devices.isMounted(mapping, directory)) return;
    if (!(await this.devices.isBlank(mapping)) && (await this.mounts(record, encryption))) return;
    await this.devices.makeFileSystem(mapping, fileSystem);
    await this.devices.mount(mapping, directory, fileSystem);
  }

  /** Whether the file system that is there is a whole one; one that an attempt before has left half made is not. */
  private async mounts({ name, directory }: PoolRecord, { fileSystem }: PoolEncryption): Promise<boolean> {
    try {
      await this.devices.mount(mappingName(name), directory, fileSystem);
      return true;
    } catch (error) {
      if (hasCode(error, 'io-error')) return false;
      throw error;
    }
  }

  private async open({ name }: PoolRecord, encryption: PoolEncryption): Promise<void> {
    const mapping = mappingName(name);
    const present = await this.devices.mapping(mapping);
    if (present?.uuid === encryption.uuid) return;
    if (present) throw unavailable(`/dev/mapper/${mapping} is another device's. Close it: cryptsetup close ${mapping}`);
    const path = await this.devices.find(encryption.uuid);
    if (path === null)
      throw unavailable(
        `There is no device with the LUKS2 header ${encryption.uuid} (it was ${encryption.device}). Connect it.`,
      );
    await this.devices.open({ path, uuid: encryption.uuid }, mapping, encryption);
  }

  /** Its device was taken away. What is mounted of it does not come back with the device: it is let go of first. */
  private async isOrphan({ name }: PoolRecord, { uuid }: PoolEncryption): Promise<boolean> {
    const mapping = await this.devices.mapping(mappingName(name));
    return mapping !== null && mapping.uuid === uuid && mapping.isOrphan;
  }

  private async takeDown({ name, directory, encryption }: PoolRecord): Promise<void> {
    await this.devices.unmount(directory);
    const mapping = await this.devices.mapping(mappingName(name));
    if (mapping?.uuid === encryption?.uuid) await this.devices.close(mappingName(name));
  }

  /** A record that cannot be read may be of a volume that lives there: that is thrown. */
  private async checkEmpty({ name, directory }: PoolRecord): Promise<void> {
    const volumes = await this.parts.records.volumes.list((error) => {
      throw error;
    });
    const names = volumes.filter(({ record }) => record.pool === directory).map(({ record }) => record.name);
    if (names.length === 0) return;
    const shown = [...names.slice(0, namesShownMax), ...(names.length > namesShownMax ? ['...'] : [])].join(', ');
    throw new CairnError('pool-in-use', `Volumes live in the pool ${name}: ${shown}. Delete them first.`);
  }
}

function unavailable(detail: string): CairnError {
  return new CairnError('pool-unavailable', detail);
}
