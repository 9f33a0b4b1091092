/** A pool with little room: ext4 in an image on a loop device. */
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { eventually } from './real-deadline.js';
import { run } from './real-tools.js';

/** On a busy machine the kernel's own threads wait for a CPU as well. */
const unmountTimeoutMs = 60_000;

/** Mounted for the running test. Call it before Cairn is started, so that it is unmounted after Cairn's end. */
export async function smallPool(sizeBytes: number): Promise<string> {
  const directory = mkdtempSync(join(tmpdir(), 'cairn-pool-'));
  const image = join(directory, 'image');
  const mountPoint = join(directory, 'mnt');
  mkdirSync(mountPoint);
  closeSync(openSync(image, 'w'));
  truncateSync(image, sizeBytes);
  // No reserve for root: full must mean full for whoever runs the test.
  await run('mkfs.ext4', ['-q', '-F', '-m', '0', image]);
  await run('mount', ['-o', 'loop', image, mountPoint]);
  onTestFinished(async () => {
    // The kernel lets go of a killed process's io_uring, and with it of its files, a little after the process has ended.
    const unmounted = () =>
      run('umount', [mountPoint]).then(
        () => true,
        () => false,
      );
    await eventually('the pool can be unmounted', unmounted, unmountTimeoutMs);
    rmSync(directory, { recursive: true });
  });
  return mountPoint;
}
