/** What is done with the keys and the header of an encrypted volume, attached or not. */
import type { KeyRef } from '../keys/key-source.js';
import { flushTimeoutMs, keyTimeoutMs } from './data-plane-connection.js';
import type { HeaderInfo, LuksFormat } from './native.js';
import type { VolumeSpec } from './node-engine.js';
import type { Passphrases } from './passphrases.js';
import type { DataPlaneCalls } from './supervised-process.js';

/** Has the volume open while the operation runs. */
type WithOpen = <Result>(spec: VolumeSpec, operation: (calls: DataPlaneCalls) => Promise<Result>) => Promise<Result>;

const slowly = { timeoutMs: keyTimeoutMs };

export class VolumeKeys {
  constructor(
    private readonly withOpen: WithOpen,
    private readonly passphrases: Passphrases,
  ) {}

  format(spec: VolumeSpec, format: LuksFormat): Promise<void> {
    return this.withKey(spec, async (calls, passphrase) => {
      await calls.formatEncryption({ volume: spec.name, ...format, passphrase }, slowly);
    });
  }

  header({ name, ...spec }: VolumeSpec): Promise<HeaderInfo> {
    return this.withOpen({ name, ...spec }, async (calls) => {
      const { uuid, sectorSize, keySlots } = await calls.getHeader({ volume: name });
      const slots = keySlots.map(({ number, derivation, memoryKib, iterations }) => {
        return { number, derivation, memoryKib, iterations };
      });
      return { uuid, sectorSize, keySlots: slots };
    });
  }

  add(spec: VolumeSpec, key: KeyRef): Promise<void> {
    return this.withKey(spec, (calls, known) =>
      this.passphrases.ofKey(key, async (added) => {
        await calls.addKey({ volume: spec.name, known, added }, slowly);
      }),
    );
  }

  remove(spec: VolumeSpec, key: KeyRef): Promise<void> {
    return this.withKey(spec, (calls, kept) =>
      this.passphrases.ofKey(key, async (removed) => {
        await calls.removeKey({ volume: spec.name, removed, kept }, slowly);
      }),
    );
  }

  backUp(spec: VolumeSpec, path: string): Promise<void> {
    return this.withOpen(spec, async (calls) => {
      await calls.backupHeader({ volume: spec.name, path }, { timeoutMs: flushTimeoutMs });
    });
  }

  restore(spec: VolumeSpec, path: string, force: boolean): Promise<void> {
    return this.withOpen(spec, async (calls) => {
      await calls.restoreHeader({ volume: spec.name, path, force }, { timeoutMs: flushTimeoutMs });
      this.passphrases.forgetAttempts(spec.name);
    });
  }

  /** False when it has been done. */
  reencrypt(spec: VolumeSpec, id: string): Promise<boolean> {
    const { name: volume } = spec;
    return this.withOpen(spec, async (calls) => {
      const isRunning = async () => (await calls.getVolume({ volume })).volume?.reencryption !== undefined;
      if (await isRunning()) return true;
      await this.passphrases.ofVolume(spec, async (passphrase) => {
        await calls.unlockVolume({ volume, passphrase }, slowly);
        await calls.reencryptVolume({ volume, id, passphrase }, slowly);
      });
      return isRunning();
    });
  }

  private withKey(
    spec: VolumeSpec,
    operation: (calls: DataPlaneCalls, passphrase: Uint8Array) => Promise<void>,
  ): Promise<void> {
    return this.withOpen(spec, (calls) =>
      this.passphrases.ofVolume(spec, (passphrase) => operation(calls, passphrase)),
    );
  }
}
