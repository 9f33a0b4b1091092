/** The keys and headers of encrypted volumes, attached or not: inside the volume's mutex, intent in the record first. */
import { randomUUID } from 'node:crypto';
import { isAbsolute } from 'node:path';
import { type HeaderFile, type HeaderRestore, type KeyName, type VolumeKeyList } from '../api/schemas.js';
import { CairnError, hasCode } from '../errors.js';
import type { KeyRef } from '../keys/key-source.js';
import { keyRefOf } from './key-refs.js';
import type { ControlParts } from './parts.js';
import type { Encryption, Stored, VolumeRecord } from './records.js';
import type { VolumeOperations } from './volume-operations.js';
import { specOf, type VolumeSteps } from './volume-steps.js';

interface EncryptedVolume {
  stored: Stored<VolumeRecord>;
  encryption: Encryption;
}

export class KeyOperations {
  constructor(
    private readonly parts: ControlParts,
    private readonly steps: VolumeSteps,
    private readonly volumes: VolumeOperations,
  ) {}

  list(name: string): Promise<VolumeKeyList> {
    return this.parts.mutex.run(name, async () => this.listed(await this.encrypted(name)));
  }

  /** Clients go on. Adding what is there already changes nothing. */
  add(name: string, request: KeyName): Promise<VolumeKeyList> {
    return this.parts.mutex.run(name, async () => {
      const { stored, encryption } = await this.changeable(name);
      const added = keyRefOf(request, 'key');
      await this.parts.engine.addKey(specOf(stored.record), added);
      this.tell('key-added', name, `Volume ${name} opens with the key ${textOf(added)} too.`);
      return this.listed({ stored, encryption });
    });
  }

  /** Clients go on. Removing what is not there changes nothing. */
  remove(name: string, request: KeyName): Promise<VolumeKeyList> {
    return this.parts.mutex.run(name, async () => {
      const { stored, encryption } = await this.changeable(name);
      const removed = keyRefOf(request, 'key');
      if (isSame(removed, encryption))
        throw new CairnError(
          'invalid-request',
          `${textOf(removed)} is the key of volume ${name} itself. Rotate to another one; that removes it.`,
          { field: 'key' },
        );
      await this.parts.engine.removeKey(specOf(stored.record), removed);
      this.tell('key-removed', name, `Volume ${name} does not open with the key ${textOf(removed)} any more.`);
      return this.listed({ stored, encryption });
    });
  }

  /** Clients go on. What it cannot finish in this life of the service, the reconciler does. */
  rotate(name: string, request: KeyName): Promise<VolumeKeyList> {
    return this.parts.mutex.run(name, async () => {
      const { stored, encryption } = await this.changeable(name);
      const next = keyRefOf(request, 'key');
      if (isSame(next, encryption)) return this.listed({ stored, encryption });
      const { volumes } = this.parts.records;
      const wanted = await volumes.change(stored, { encryption: { ...encryption, next } });
      await this.finishRotation(wanted, encryption);
      this.tell('key-rotated', name, `Volume ${name} has the key ${textOf(next)} now, and not ${textOf(encryption)}.`);
      return this.listed(await this.encrypted(name));
    });
  }

  /** Into a new file of this node. */
  backUpHeader(name: string, { file }: HeaderFile): Promise<HeaderFile> {
    return this.parts.mutex.run(name, async () => {
      const { stored } = await this.encrypted(name);
      await this.parts.engine.backupHeader(specOf(stored.record), checkedPath(file));
      this.tell('header-backed-up', name, `The header of volume ${name} is in ${file}.`);
      return { file };
    });
  }

  restoreHeader(name: string, { file, force = false }: HeaderRestore): Promise<void> {
    return this.parts.mutex.run(name, async () => {
      const { stored } = await this.changeable(name);
      if (stored.record.frontend !== null)
        throw new CairnError('volume-attached', `Volume ${name} is attached. Detach it first.`);
      await this.parts.engine.restoreHeader(specOf(stored.record), checkedPath(file), force);
      this.tell('header-restored', name, `Volume ${name} has the header of ${file}.`);
    });
  }

  /** Resolves when it has begun, or is under way. What it cannot finish in this life of the service, the reconciler does. */
  reencrypt(name: string): Promise<void> {
    return this.parts.mutex.run(name, async () => {
      const { stored, encryption } = await this.encrypted(name);
      if (encryption.reencryption) return this.steps.continueReencrypt(stored);
      const settled = await this.changeable(name);
      const { volumes } = this.parts.records;
      const wanted = await volumes.change(settled.stored, {
        encryption: { ...settled.encryption, reencryption: { id: randomUUID() } },
      });
      try {
        await this.steps.continueReencrypt(wanted);
      } catch (error) {
        await this.takeBack(wanted, settled.encryption);
        throw error;
      }
      this.tell('reencryption-started', name, `Volume ${name} is being encrypted with a new volume key.`);
    });
  }

  /** Throws `volume-not-encrypted` too. */
  private async encrypted(name: string): Promise<EncryptedVolume> {
    const stored = await this.volumes.settled(name);
    const { encryption } = stored.record;
    if (encryption) return { stored, encryption };
    throw new CairnError('volume-not-encrypted', `Volume ${name} is not encrypted: it has no keys and no header.`);
  }

  /** Nothing else is being done to its keys. */
  private async changeable(name: string): Promise<EncryptedVolume> {
    const { stored, encryption } = await this.encrypted(name);
    const { raw = false, readOnly = false, frontend } = stored.record;
    if (frontend !== null && raw && !readOnly)
      throw new CairnError(
        'volume-attached',
        `Clients of volume ${name} can write to its header. Detach it first, or attach it read-only.`,
      );
    if (encryption.reencryption)
      throw new CairnError(
        'reencryption-running',
        `Volume ${name} is being encrypted with a new volume key. Wait until that is done.`,
      );
    if (!encryption.next && !encryption.previous) return { stored, encryption };
    await this.steps.continueRotation(stored);
    return this.encrypted(name);
  }

  /** The key slots as they are, or why nobody knows. */
  private async listed({ stored, encryption }: EncryptedVolume): Promise<VolumeKeyList> {
    const { uuid, sectorSize, keySlots } = await this.parts.engine.header(specOf(stored.record));
    const { provider, key } = encryption;
    return { uuid, cipher: 'aes-xts-plain64', keyBits: 512, sectorSize, provider, key, keySlots };
  }

  private async finishRotation(wanted: Stored<VolumeRecord>, before: Encryption): Promise<void> {
    try {
      await this.steps.continueRotation(wanted);
    } catch (error) {
      const now = await this.volumes.existing(wanted.record.name);
      if (now.record.encryption?.next) await this.takeBack(now, before);
      else this.parts.leftUndone(wanted.record.name, error); // it has its new key
      throw error;
    }
  }

  /** It failed, and the caller is told so: it must not be done later. */
  private async takeBack(wanted: Stored<VolumeRecord>, encryption: Encryption): Promise<void> {
    try {
      await this.parts.records.volumes.change(wanted, { encryption });
    } catch (error) {
      if (!hasCode(error, 'store-closed')) this.parts.leftUndone(wanted.record.name, error);
    }
  }

  private tell(kind: string, volume: string, message: string): void {
    this.parts.events.add({ kind, volume, message });
  }
}

function isSame(one: KeyRef, other: KeyRef): boolean {
  return one.provider === other.provider && one.key === other.key;
}

function textOf({ provider, key }: KeyRef): string {
  return `${key} (${provider})`;
}

function checkedPath(file: string): string {
  if (isAbsolute(file)) return file;
  throw new CairnError('invalid-request', `The file must be an absolute path of the node that the volume is on.`, {
    field: 'file',
  });
}
