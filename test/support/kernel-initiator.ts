/** The kernel's own iSCSI initiator, driven by open-iscsi as an administrator would; without it tests are skipped. */
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { onTestFinished, type TestContext } from 'vitest';
import { eventually } from './real-deadline.js';
import { endProcess, processesNaming } from './real-process.js';
import { needsTools, pathOf, run } from './real-tools.js';

const sessions = '/sys/class/iscsi_session';
const deviceTimeoutMs = 30_000;
const endTimeoutMs = 10_000;

/** Skips the test, with the reason, unless the kernel has an initiator and we may use it. */
export function needsKernelInitiator(context: TestContext): void {
  if (process.getuid?.() !== 0) context.skip('needs root to use the kernel as an initiator');
  if (!existsSync('/sys/module/iscsi_tcp')) context.skip('the kernel has no iscsi_tcp (or it is not loaded)');
  needsTools(context, 'iscsid', 'iscsiadm', 'mkfs.ext4', 'mount', 'umount', 'blockdev');
}

/** A path to a target: a portal, and by another interface of open-iscsi another initiator. */
export interface Path {
  target: string;
  portal: string;
  /** Of {@link addInitiator}. */
  interfaceName?: string;
}

type Settings = Record<string, string | number>;

/** All that logged in is logged out, and forgotten, after the running test. */
export class KernelInitiator {
  static async start(): Promise<KernelInitiator> {
    mkdirSync('/run/lock/iscsi', { recursive: true });
    if (processesNaming('iscsid').length === 0) await startDaemon();
    return new KernelInitiator();
  }

  /** The targets of a portal. */
  async discover(portal: string): Promise<string[]> {
    const found = await run('iscsiadm', ['-m', 'discovery', '-t', 'sendtargets', '-p', portal]);
    onTestFinished(async () => {
      await succeeds(run('iscsiadm', ['-m', 'discoverydb', '-t', 'st', '-p', portal, '-o', 'delete']));
    });
    return found
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => line.split(' ')[1] ?? '');
  }

  /** As `name`, an interface of open-iscsi. */
  async addInitiator(name: string, initiator: string): Promise<void> {
    const one = ['-m', 'iface', '-I', name, '-o'];
    await run('iscsiadm', [...one, 'new']);
    onTestFinished(async () => {
      await succeeds(run('iscsiadm', [...one, 'delete']));
    });
    await run('iscsiadm', [...one, 'update', '-n', 'iface.initiatorname', '-v', initiator]);
    await run('iscsiadm', [...one, 'update', '-n', 'iface.transport_name', '-v', 'tcp']);
  }

  /** Resolves with the block device; `settings` are those of open-iscsi's node. */
  async logIn(path: Path, settings: Settings = {}): Promise<ScsiDisk> {
    const node = nodeOf(path);
    // With a second record beside that of a discovery, both would log in.
    if (!(await succeeds(run('iscsiadm', node)))) await run('iscsiadm', [...node, '-o', 'new']);
    for (const [name, value] of Object.entries(settings)) {
      await run('iscsiadm', [...node, '-o', 'update', '-n', name, '-v', `${value}`]);
    }
    const before = readdirSync(sessions);
    onTestFinished(async () => {
      await succeeds(run('iscsiadm', [...node, '--logout']));
      await succeeds(run('iscsiadm', [...node, '-o', 'delete']));
    });
    await run('iscsiadm', [...node, '--login']);
    const session = readdirSync(sessions).find((each) => !before.includes(each));
    if (session === undefined) throw new Error('There is no new session.');
    return new ScsiDisk(path, await diskOf(session), session);
  }
}

export class ScsiDisk {
  constructor(
    readonly path: Path,
    /** `sdX` */
    private readonly name: string,
    private readonly session: string,
  ) {}

  get device(): string {
    return `/dev/${this.name}`;
  }

  async size(): Promise<number> {
    return Number(await run('blockdev', ['--getsize64', this.device]));
  }

  /** Has the kernel look again how large it is. */
  rescan(): void {
    writeFileSync(`/sys/block/${this.name}/device/rescan`, '1');
  }

  get queue(): string {
    return `/sys/block/${this.name}/queue`;
  }

  get sessionDirectory(): string {
    return join(sessions, this.session);
  }

  async logOut(): Promise<void> {
    await run('iscsiadm', [...nodeOf(this.path), '--logout']);
  }
}

function nodeOf({ target, portal, interfaceName }: Path): string[] {
  return ['-m', 'node', '-T', target, '-p', portal, ...(interfaceName === undefined ? [] : ['-I', interfaceName])];
}

/** The device appears a moment after the login. */
async function diskOf(session: string): Promise<string> {
  let name: string | undefined;
  await eventually(
    'the unit is a block device',
    () => {
      name = disksOf(session)[0];
      return name !== undefined && existsSync(`/dev/${name}`);
    },
    deviceTimeoutMs,
  );
  return name ?? '';
}

/** Of all units that are disks. */
function disksOf(session: string): string[] {
  const device = join(sessions, session, 'device');
  const entries = (directory: string) => (existsSync(directory) ? readdirSync(directory) : []);
  const targets = entries(device).filter((entry) => entry.startsWith('target'));
  const units = targets.flatMap((target) => entries(join(device, target)).map((unit) => join(device, target, unit)));
  return units.flatMap((unit) => entries(join(unit, 'block')));
}

let daemon: ChildProcess | undefined;

/** Of this host, for all tests of the file. */
async function startDaemon(): Promise<void> {
  // In a group of its own: it ends with all of its group.
  daemon = spawn(pathOf('iscsid') ?? 'iscsid', ['-f'], { stdio: 'ignore', detached: true });
  await eventually('iscsid answers', () => succeeds(run('iscsiadm', ['-m', 'iface'])));
}

/** The daemon, if it was started here. */
export async function endDaemon(): Promise<void> {
  if (daemon?.pid !== undefined) await endProcess(daemon.pid, 'SIGTERM', endTimeoutMs);
  daemon = undefined;
}

function succeeds(done: Promise<unknown>): Promise<boolean> {
  return done.then(
    () => true,
    () => false,
  );
}
