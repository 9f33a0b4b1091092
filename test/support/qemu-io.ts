/** A qemu-io that stays connected, command by command: a client with a life of its own, which reconnects when it has to. */
import { spawn, type ChildProcess } from 'node:child_process';
import { onTestFinished } from 'vitest';
import { pathOf } from './real-tools.js';

const prompt = 'qemu-io> ';
const commandTimeoutMs = 60_000;

/** A command that failed, or data that is not what it should be. */
const failure = /failed|error|cannot|Pattern verification|Failed/i;

export class QemuIo {
  private output = '';
  private errors = '';
  private arrived: () => void = () => {};
  private hasEnded = false;

  private constructor(private readonly child: ChildProcess) {
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.output += text;
      this.arrived();
    });
    child.stderr?.setEncoding('utf8').on('data', (text: string) => (this.errors += text));
    child.once('close', () => {
      this.hasEnded = true;
      this.arrived();
    });
  }

  /** Ended after the running test. `image`: a URL, or options of qemu's block drivers; `options`: more of qemu-io's. */
  static async open(image: string, ...options: string[]): Promise<QemuIo> {
    const form = image.includes('://') ? ['-f', 'raw'] : ['--image-opts'];
    const child = spawn(pathOf('qemu-io') ?? 'qemu-io', [...form, ...options, image], { stdio: 'pipe' });
    const client = new QemuIo(child);
    onTestFinished(() => {
      child.kill('SIGKILL');
    });
    await client.answer();
    return client;
  }

  /** Resolves with what it says; rejects when the command fails, or reads something else than the pattern. */
  async run(command: string): Promise<string> {
    this.child.stdin?.write(`${command}\n`);
    const said = await this.answer();
    if (failure.test(said)) throw new Error(`${command}: ${said.trim()}`);
    return said;
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.child.once('close', resolve));
    this.child.stdin?.end('quit\n');
    await closed;
  }

  /** All until the next prompt. */
  private async answer(): Promise<string> {
    const late = AbortSignal.timeout(commandTimeoutMs);
    while (!this.output.endsWith(prompt)) {
      if (this.hasEnded) throw new Error(`qemu-io has ended: ${this.errors}${this.output}`);
      await new Promise<void>((resolve, reject) => {
        this.arrived = resolve;
        const refuse = () => reject(new Error(`qemu-io does not answer: ${this.errors}${this.output}`));
        late.addEventListener('abort', refuse, { once: true });
      });
    }
    const said = this.output.slice(0, -prompt.length);
    this.output = '';
    return said;
  }
}
