/** Programs of the system that tests use as real clients: whether they are there, and what they print. */
import { execFile } from 'node:child_process';
import { accessSync, constants, existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import type { TestContext } from 'vitest';

const execute = promisify(execFile);
const toolTimeoutMs = 60_000;
const outputBytesMax = 64 * 2 ** 20;
/** Where tools for root are, which a user's PATH may lack. */
const rootDirectories = ['/usr/sbin', '/sbin'];

/** Resolves with stdout; rejects with the command line and stderr. */
export async function run(command: string, args: readonly string[]): Promise<string> {
  const { stdout } = await execute(pathOf(command) ?? command, args, {
    timeout: toolTimeoutMs,
    maxBuffer: outputBytesMax,
  });
  return stdout;
}

/** Skips the test, with the reason, unless all these programs are installed. */
export function needsTools(context: TestContext, ...commands: string[]): void {
  const missing = commands.filter((command) => pathOf(command) === null);
  if (missing.length > 0) context.skip(`not installed: ${missing.join(', ')}`);
}

/** Skips the test unless it may mount loop devices. */
export function needsLoopDevices(context: TestContext): void {
  needsTools(context, 'losetup', 'mount', 'umount', 'mkfs.ext4');
  if (process.getuid?.() !== 0) context.skip('needs root to mount a loop device');
  if (!existsSync('/dev/loop-control')) context.skip('the kernel has no loop devices');
}

export function pathOf(command: string): string | null {
  const directories = [...(process.env['PATH'] ?? '').split(delimiter), ...rootDirectories];
  return directories.map((directory) => join(directory, command)).find(isExecutable) ?? null;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
