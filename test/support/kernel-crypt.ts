/** The kernel's own dm-crypt and block devices for it, in tests; without device-mapper they are skipped. */
import { closeSync, mkdirSync, openSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { onTestFinished, type TestContext } from 'vitest';
import { needsLoopDevices, needsTools, run } from './real-tools.js';
import { scratchDirectory } from './scratch.js';

/** Skips the test, with the reason, unless the kernel has device-mapper and we may use it. */
export function needsDeviceMapper(context: TestContext): void {
  needsLoopDevices(context);
  needsTools(context, 'cryptsetup', 'wipefs', 'blkid', 'blockdev', 'fstrim', 'e2fsck');
  try {
    closeSync(openSync('/dev/mapper/control', 'r+'));
  } catch (error) {
    context.skip(`the kernel has no device-mapper (${(error as NodeJS.ErrnoException).code})`);
  }
}

/** A disk over a sparse file, which can go away and come back under another name. */
export class LoopDisk {
  readonly file = join(scratchDirectory(), 'disk');
  private device: string | null = null;

  static async create(sizeBytes: number, sectorSize: 512 | 4096 = 512): Promise<LoopDisk> {
    const disk = new LoopDisk(sectorSize);
    writeFileSync(disk.file, '');
    truncateSync(disk.file, sizeBytes);
    await disk.connect();
    onTestFinished(() => disk.disconnect());
    return disk;
  }

  private constructor(private readonly sectorSize: number) {}

  /** `/dev/loopN` */
  get path(): string {
    return this.device ?? '';
  }

  async connect(): Promise<void> {
    const printed = await run('losetup', ['--find', '--show', `--sector-size=${this.sectorSize}`, this.file]);
    this.device = printed.trim();
  }

  async disconnect(): Promise<void> {
    if (this.device !== null) await run('losetup', ['--detach', this.device]);
    this.device = null;
  }
}

/** What stock cryptsetup does with a device, with one passphrase. */
export class Cryptsetup {
  private readonly keyFile = join(scratchDirectory(), 'passphrase');
  readonly mountPoint = join(scratchDirectory(), 'mnt');

  constructor(
    passphrase: string,
    readonly mapping: string,
  ) {
    writeFileSync(this.keyFile, passphrase, { mode: 0o600 });
    mkdirSync(this.mountPoint);
    onTestFinished(() => this.close());
  }

  get path(): string {
    return `/dev/mapper/${this.mapping}`;
  }

  /** Few passes and little memory where that can be chosen: derivations are not what is tested. */
  async format(device: string, sectorSize: 512 | 4096, derivation: 'argon2id' | 'argon2i' | 'pbkdf2'): Promise<void> {
    const cost =
      derivation === 'pbkdf2'
        ? ['--pbkdf-force-iterations', '1000']
        : ['--pbkdf-force-iterations', '4', '--pbkdf-memory', '32768', '--pbkdf-parallel', '1'];
    const cipher = ['--cipher', 'aes-xts-plain64', '--key-size', '512', '--sector-size', `${sectorSize}`];
    await this.run('luksFormat', '--type', 'luks2', ...cipher, '--pbkdf', derivation, ...cost, device);
  }

  async open(device: string, ...options: string[]): Promise<void> {
    await this.run('open', ...options, device, this.mapping);
  }

  async mount(...options: string[]): Promise<void> {
    await run('mount', ['-t', 'ext4', ...options, this.path, this.mountPoint]);
  }

  async unmount(): Promise<void> {
    await run('umount', [this.mountPoint]);
  }

  /** Unmounted too, if it is. */
  async close(): Promise<void> {
    await this.unmount().catch(() => {});
    await run('cryptsetup', ['close', this.mapping]).catch(() => {});
  }

  private async run(action: string, ...args: string[]): Promise<void> {
    await run('cryptsetup', [action, '--batch-mode', '--key-file', this.keyFile, ...args]);
  }
}
