/** An NBD export as a block device of this kernel without its nbd module: nbdfuse makes it a file, loop a disk. */
import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { onTestFinished, type TestContext } from 'vitest';
import { eventually } from './real-deadline.js';
import { endProcess } from './real-process.js';
import { needsLoopDevices, needsTools, run } from './real-tools.js';
import { scratchDirectory } from './scratch.js';

const endTimeoutMs = 10_000;

export function needsKernelDisk(context: TestContext): void {
  needsLoopDevices(context);
  needsTools(context, 'nbdfuse', 'fusermount3', 'fstrim', 'e2fsck');
}

export class KernelDisk {
  private isMounted = false;

  private constructor(
    /** `/dev/loopN` */
    readonly device: string,
    readonly mountPoint: string,
    private readonly nbdfusePid: number,
  ) {}

  /** Closed after the running test at the latest. The kernel must not ask for less than a block of the volume. */
  static async open(uri: string, blockSize: number): Promise<KernelDisk> {
    const directory = scratchDirectory();
    const [file, mountPoint] = [join(directory, 'disk'), join(directory, 'mnt')];
    closeSync(openSync(file, 'w'));
    mkdirSync(mountPoint);
    const child = spawn('nbdfuse', [file, uri], { stdio: 'ignore' });
    await eventually('nbdfuse shows the export', () => statSync(file).size > 0);
    const options = ['--direct-io=on', `--sector-size=${blockSize}`];
    const device = (await run('losetup', ['--find', '--show', ...options, file])).trim();
    const disk = new KernelDisk(device, mountPoint, child.pid ?? 0);
    onTestFinished(() => disk.close());
    return disk;
  }

  async format(): Promise<void> {
    await run('mkfs.ext4', ['-q', '-F', this.device]);
  }

  async mount(...options: string[]): Promise<void> {
    await run('mount', ['-t', 'ext4', ...options, this.device, this.mountPoint]);
    this.isMounted = true;
  }

  async unmount(): Promise<void> {
    if (this.isMounted) await run('umount', [this.mountPoint]);
    this.isMounted = false;
  }

  /** Rejects with fsck's findings unless the file system is clean. */
  async check(): Promise<void> {
    await run('e2fsck', ['-f', '-n', this.device]);
  }

  /** In this order: a loop device over a file that went away hangs. */
  async close(): Promise<void> {
    if (this.isClosed) return;
    this.isClosed = true;
    await this.unmount();
    await run('losetup', ['--detach', this.device]);
    await endProcess(this.nbdfusePid, 'SIGTERM', endTimeoutMs);
  }

  private isClosed = false;
}
