/** tgt, the peer of Cairn's iSCSI target: `tgtd` with one target over one file. */
import { spawn, type ChildProcess } from 'node:child_process';
import { eventually } from './real-deadline.js';
import { pathOf, run } from './real-tools.js';

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
    readonly commandLine: string,
  ) {}

  /** With tgt's default settings. Its logical unit 0 is a controller, the file is unit 1. */
  static async start(port: number, file: string, store: TgtStore): Promise<Tgt> {
    const args = ['-f', '-C', numberOf(port), '--iscsi', `portal=127.0.0.1:${port}`];
    const child = spawn(pathOf('tgtd') ?? 'tgtd', args, { stdio: 'ignore' });
    running.add(child);
    child.once('exit', () => running.delete(child));
    const tgt = new Tgt(child, port, `tgtd (${store})`);
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
    if (!running.has(this.child)) return;
    const exited = new Promise((resolve) => this.child.once('exit', resolve));
    this.child.kill('SIGKILL');
    await exited;
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

  private admin(...args: string[]): Promise<string> {
    return run('tgtadm', ['-C', numberOf(this.port), '--lld', 'iscsi', ...args]);
  }
}

/** Of the tgtd among those of this host, by which tgtadm finds it: from the port, and below 2^15. */
function numberOf(port: number): string {
  return `${port % 2 ** 15}`;
}
