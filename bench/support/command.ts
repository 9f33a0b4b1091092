/** Programs that the benchmark runs: to their end, or as servers that are ended by their pid. */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { accessSync, constants, readFileSync } from 'node:fs';
import { createConnection, createServer, type AddressInfo } from 'node:net';
import { delimiter, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { eventually } from '../../test/support/real-deadline.js';

const execute = promisify(execFile);
const outputBytesMax = 64 * 2 ** 20;
const readyTimeoutMs = 10_000;
const readyPollMs = 20;
const stopTimeoutMs = 30_000;

/** Resolves with the standard output; rejects with what the program wrote to stderr. */
export async function run(command: string, args: readonly string[]): Promise<string> {
  const { stdout } = await execute(command, args, { maxBuffer: outputBytesMax });
  return stdout;
}

export function isInstalled(command: string): boolean {
  return (process.env['PATH'] ?? '').split(delimiter).some((directory) => isExecutable(join(directory, command)));
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** The first line of what the command prints when asked for its version. */
export async function versionOf(command: string, args: readonly string[] = ['--version']): Promise<string> {
  return (await run(command, args)).split('\n')[0]?.trim() ?? '';
}

/** Where a server listens: `path` of a unix socket, or a port of 127.0.0.1. */
export type Address = { path: string } | { host: '127.0.0.1'; port: number };

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** What serves: a child of ours, or what a child has left running. */
export interface RunningServer {
  pid: number;
  stop: () => Promise<void>;
}

/** Those that run end with this process, however it ends. */
const running = new Set<ChildProcess>();
const daemons = new Set<number>();
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL');
  for (const pid of daemons) kill(pid, 'SIGKILL');
});

/** A server that puts itself into the background, and its process id into a file. */
export async function startDaemon(
  command: string,
  args: readonly string[],
  { address, pidFile }: { address: Address; pidFile: string },
): Promise<RunningServer> {
  await run(command, args);
  await eventually(`${command} listens`, () => accepts(address));
  const pid = Number(readFileSync(pidFile, 'utf8'));
  daemons.add(pid);
  const stop = async () => {
    kill(pid, 'SIGTERM');
    await eventually(`${command} ends`, async () => !kill(pid, 0), stopTimeoutMs);
    daemons.delete(pid);
  };
  return { pid, stop };
}

/** Whether there is such a process. */
function kill(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(pid, signal);
  } catch {
    return false;
  }
}

export class Server implements RunningServer {
  private errors = '';
  private readonly exited: Promise<void>;

  private constructor(private readonly child: ChildProcess) {
    child.stderr?.setEncoding('utf8').on('data', (text: string) => (this.errors += text));
    running.add(child);
    this.exited = new Promise((resolve) => {
      child.once('exit', () => resolve());
      child.once('error', () => resolve());
    });
    void this.exited.then(() => running.delete(child));
  }

  /** Resolves when the server accepts connections at the address. */
  static async start(command: string, args: readonly string[], address: Address): Promise<Server> {
    const server = new Server(spawn(command, args, { stdio: ['ignore', 'ignore', 'pipe'] }));
    const deadline = Date.now() + readyTimeoutMs;
    while (!(await accepts(address))) {
      if (server.child.exitCode !== null || Date.now() > deadline) {
        await server.stop();
        throw new Error(`${command} does not listen: ${server.errors.trim()}`);
      }
      await delay(readyPollMs);
    }
    return server;
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  async stop(): Promise<void> {
    this.child.kill('SIGTERM');
    const late = setTimeout(() => this.child.kill('SIGKILL'), stopTimeoutMs);
    await this.exited;
    clearTimeout(late);
  }
}

function accepts(address: Address): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection(address);
    socket.once('error', () => resolve(false));
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
  });
}
