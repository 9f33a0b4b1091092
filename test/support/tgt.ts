/** tgt, the peer of Cairn's iSCSI target: `tgtd` with one target over one file. */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { eventually } from './real-deadline.js';
import { pathOf } from './real-tools.js';

const execute = promisify(execFile);

/** How tgt reads and writes its file: through the page cache by threads, or past it by Linux native AIO. */
export type TgtStore = 'rdwr' | 'aio';

const targetName = 'iqn.2026-11.io.cairn:peer';

/** Those that run end with this process, however it ends. */
const running = new Set<ChildProcess>();
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

export class Tgt {
  private constructor(
    private readonly child: ChildProcess,
    private readonly port: number,
    private readonly directory: string,
    readonly commandLine: string,
  ) {}

  /** With tgt's default settings. Its logical unit 0 is a controller, the file is unit 1. */
  static async start(port: number, file: string, store: TgtStore): Promise<Tgt> {
    const args = ['-f', '--iscsi', `portal=127.0.0.1:${port}`];
    const directory = mkdtempSync(join(tmpdir(), 'cairn-tgt-'));
    const child = spawn(pathOf('tgtd') ?? 'tgtd', args, { stdio: 'ignore', env: environment(directory) });
    running.add(child);
    child.once('exit', () => running.delete(child));
    const tgt = new Tgt(child, port, directory, `tgtd (${store})`);
    try {
      await eventually('tgtd is ready', () => tgt.isReady());
      await tgt.configure(file, store);
      return tgt;
    } catch (error) {
      await tgt.close();
      throw error;
    }
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  get url(): string {
    return `iscsi://127.0.0.1:${this.port}/${targetName}/1`;
  }

  /** It does not end by SIGTERM while it has targets. */
  async close(): Promise<void> {
    if (running.has(this.child)) {
      const exited = new Promise((resolve) => this.child.once('exit', resolve));
      this.child.kill('SIGKILL');
      await exited;
    }
    rmSync(this.directory, { recursive: true, force: true });
  }

  private async configure(file: string, store: TgtStore): Promise<void> {
    const unit = ['--mode', 'logicalunit', '--tid', '1', '--lun', '1'];
    await this.admin('--op', 'new', '--mode', 'target', '--tid', '1', '--targetname', targetName);
    await this.admin('--op', 'new', ...unit, '--backing-store', file, '--bstype', store);
    await this.admin('--op', 'bind', '--mode', 'target', '--tid', '1', '--initiator-address', 'ALL');
  }

  private async isReady(): Promise<boolean> {
    if (this.child.exitCode !== null) throw new Error(`tgtd ended with ${this.child.exitCode} at its start.`);
    return this.admin('--op', 'show', '--mode', 'sys').then(
      () => true,
      () => false,
    );
  }

  private async admin(...args: string[]): Promise<void> {
    const env = environment(this.directory);
    await execute(pathOf('tgtadm') ?? 'tgtadm', ['--lld', 'iscsi', ...args], { env });
  }
}

/** By its socket tgtadm finds this tgtd among those of the host; the usual place is root's. */
function environment(directory: string): NodeJS.ProcessEnv {
  return { ...process.env, TGT_IPC_SOCKET: join(directory, 'socket') };
}
