/** A whole service over a fake engine, with REST on a free port, in a directory of its own. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import { createClient, type Client } from '../../src/api/client.js';
import type { Problem } from '../../src/api/schemas.js';
import { start, type NodeService, type NodeServiceOptions } from '../../src/control/node-service.js';
import { FakeDataPlane, FakeNodeEngine } from './fake-node-engine.js';
import { FakeHost, FakePoolDevices } from './fake-pool-devices.js';

/** What becomes true before long; asked for again and again until then, or too late even for a busy machine. */
export function eventually<Value>(look: () => Value): ReturnType<typeof expect.poll<Value>> {
  return expect.poll(look, { timeout: 10_000, interval: 5 });
}

export interface LogLine {
  level: string;
  message: string;
  fields: Readonly<Record<string, unknown>>;
}

export class RunningService {
  readonly log: LogLine[] = [];
  readonly host = new FakeHost();
  engine!: FakeNodeEngine;
  client!: Client;
  url = '';
  private service: NodeService | undefined;

  private constructor(
    readonly directory: string,
    readonly dataPlane: FakeDataPlane,
    private readonly options: Partial<NodeServiceOptions>,
  ) {}

  static async start(options: Partial<NodeServiceOptions> = {}): Promise<RunningService> {
    const directory = await mkdtemp(join(tmpdir(), 'cairn-service-'));
    const running = new RunningService(directory, new FakeDataPlane(), options);
    await running.begin();
    return running;
  }

  /** A new service over the same records and the same data plane. */
  async restart(withDataPlane = false): Promise<void> {
    await this.service?.stop({ withDataPlane });
    await this.begin();
  }

  async end(): Promise<void> {
    await this.service?.stop();
    await rm(this.directory, { recursive: true });
  }

  async stop(withDataPlane = false): Promise<void> {
    await this.service?.stop({ withDataPlane });
    this.service = undefined;
  }

  /** The answer to a request as it comes over the wire. */
  async ask(
    method: string,
    path: string,
    body?: unknown,
  ): Promise<{ status: number; headers: Headers; body: Problem }> {
    const json = { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) };
    const response = await fetch(this.url + path, body === undefined ? { method } : { method, ...json });
    const text = await response.text();
    return {
      status: response.status,
      headers: response.headers,
      body: (text === '' ? undefined : JSON.parse(text)) as Problem,
    };
  }

  private async begin(): Promise<void> {
    this.engine = new FakeNodeEngine(this.dataPlane);
    this.service = await start({
      dataDirectory: this.directory,
      pools: [join(this.directory, 'pool')],
      rest: { host: '127.0.0.1', port: 0 },
      engine: this.engine,
      poolDevices: new FakePoolDevices(this.host),
      isolation: 'node',
      version: '0.1.0',
      log: (level, message, fields = {}) => void this.log.push({ level, message, fields }),
      reconcilerTimes: { periodMs: 60_000, retryMinMs: 5, retryMaxMs: 20 },
      ...this.options,
    });
    this.url = `http://127.0.0.1:${this.service.address.port}`;
    this.client = createClient({ url: this.url });
  }
}
