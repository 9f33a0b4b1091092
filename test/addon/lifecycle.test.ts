/** The addon at every stage of a process's life: a child goes there, and must end well. */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeEach, describe, expect, it } from 'vitest';
import { NbdConnection } from '../support/nbd-connection.js';
import { openServed, startPlane, whyNoAddon } from '../support/native-plane.js';
import { eventually } from '../support/real-deadline.js';
import { scratchDirectory } from '../support/scratch.js';

const program = fileURLToPath(new URL('children/stages.mjs', import.meta.url));
/** A child that hangs is killed, and the test says so. */
const endTimeoutMs = 50_000;
const wellEnded = { code: 0, signal: null, stderr: '' };

class Child {
  private readonly process;
  private stdout = '';
  private stderr = '';
  private readonly ended: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;

  constructor(stage: string, directory: string, sanitizerOptions = '', more: string[] = []) {
    // A quarantine of freed memory would look like a leak.
    const sanitizer = `${process.env['ASAN_OPTIONS'] ?? ''}:quarantine_size_mb=4${sanitizerOptions}`;
    const environment = { ...process.env, ASAN_OPTIONS: sanitizer };
    const args = ['--expose-gc', program, stage, directory, ...more];
    this.process = spawn(process.execPath, args, { env: environment, timeout: endTimeoutMs, killSignal: 'SIGKILL' });
    this.process.stdout.setEncoding('utf8').on('data', (text: string) => (this.stdout += text));
    this.process.stderr.setEncoding('utf8').on('data', (text: string) => (this.stderr += text));
    this.ended = new Promise((resolve) => {
      this.process.once('close', (code, signal) => resolve({ code, signal }));
    });
  }

  /** Resolves when it has printed a line; rejects when it ends before. */
  async said(line: string): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.process.stdout.on('data', () => {
        if (this.stdout.includes(`${line}\n`)) resolve();
      });
      void this.ended.then((how) => reject(new Error(`ended: ${JSON.stringify(how)}\n${this.stderr}`)));
    });
  }

  /** Tells it that it may end. */
  dismiss(): void {
    this.process.stdin.end();
  }

  /** How it ended. */
  async end(): Promise<{ code: number | null; signal: NodeJS.Signals | null; stderr: string }> {
    const how = await this.ended;
    return { ...how, stderr: this.stderr };
  }

  get output(): string {
    return this.stdout;
  }
}

beforeEach((context) => {
  if (whyNoAddon !== null) context.skip(whyNoAddon);
});

const closedStages = [
  'loaded',
  'closed',
  'closed twice',
  'called after close',
  'called while closing',
  'closed with operations under way',
  'several planes',
  'event handler that throws',
  'event handler that closes',
  'cycles of volumes',
  'cycles of planes',
];

/** Stages that leave a plane open, whose memory the process takes with it. */
const openStages = [
  'unclosed',
  'unclosed with an open volume',
  'exit with operations under way',
  'exit while closing',
  'worker that is terminated',
  'worker that ends by itself',
];
const leftOpen = ':detect_leaks=0';

describe('a process ends well at the stage', () => {
  it.each(closedStages)('%s', async (stage) => {
    const child = new Child(stage, scratchDirectory());
    expect(await child.end()).toEqual(wellEnded);
  });

  it.each(openStages)('%s', async (stage) => {
    const child = new Child(stage, scratchDirectory(), leftOpen);
    expect(await child.end()).toEqual(wellEnded);
  });

  it('end with a close under way, which is done before', async () => {
    const child = new Child('end with a close under way', scratchDirectory());
    expect(await child.end()).toEqual(wellEnded);
    expect(child.output).toBe('closed\n');
  });
});

describe('a plane that cannot have all of its threads', () => {
  it('is refused, says what to raise, and starts when it can', async ({ skip }) => {
    if (process.getuid?.() !== 0) skip('needs root, to become a user that limits bind');
    const outcomes: string[] = [];
    for (let threads = 0; outcomes.at(-1) !== 'started\n'; threads += 1) {
      const child = new Child('few threads more', scratchDirectory(), '', [String(threads)]);
      expect(await child.end()).toEqual(wellEnded);
      outcomes.push(child.output);
    }
    expect(outcomes.filter((outcome) => outcome === 'refused\n').length).toBeGreaterThan(3);
  });
});

describe('an unclosed plane', () => {
  it('loses nothing that was acknowledged when its process exits', async () => {
    const directory = scratchDirectory();
    const child = new Child('served until told', directory, leftOpen);
    await child.said('serving');
    const client = await NbdConnection.open({ path: join(directory, 'nbd.sock') }, 'volume');
    const data = Buffer.alloc(64 * 1024, 'acknowledged');
    await client.write(4096, data);
    child.dismiss();
    expect(await child.end()).toEqual(wellEnded);

    const plane = startPlane();
    await eventually('the kernel lets go of its lock', () => isUnlocked(join(directory, 'volume')), endTimeoutMs);
    const { address, info } = await openServed(plane, { name: 'volume', directory: join(directory, 'volume') });
    expect(info.recovered).toBe(true);
    const reader = await NbdConnection.open(address, 'volume');
    expect(await reader.read(4096, data.length)).toEqual(data);
    await reader.disconnect();
  });

  it('goes on serving when nothing refers to it any more', async () => {
    const directory = scratchDirectory();
    const child = new Child('unreachable while open', directory, leftOpen);
    await child.said('serving');
    expect(existsSync(join(directory, 'nbd.sock'))).toBe(true);
    const client = await NbdConnection.open({ path: join(directory, 'nbd.sock') }, 'volume');
    await client.write(0, Buffer.alloc(4096, 1));
    await client.disconnect();
    child.dismiss();
    expect(await child.end()).toEqual(wellEnded);
  });
});

/** A process's io_uring, which holds the lock, is torn down behind its end: later on a machine that is busy. */
function isUnlocked(replica: string): boolean {
  return spawnSync('flock', ['--nonblock', join(replica, 'superblock'), 'true']).status === 0;
}
