/**
 * Clients on several connections that write unique tags to the same few blocks, read them, and remember when; and the verdict on
 * whether every sector was a linearizable register. The server may be killed meanwhile: an operation without an answer may have happened.
 */
import { NbdConnection } from './nbd-connection.js';
import { ConnectionLost, type NbdAddress } from './nbd-stream.js';
import { mulberry32 } from './random.js';
import { eventually } from './real-deadline.js';
import { registerViolation, type RegisterOperation } from './register-history.js';

const sectorBytes = 512;
const sectorsOfBlock = 8;
const reconnectTimeoutMs = 20_000;

export interface HistoryOptions {
  address: NbdAddress;
  volume: string;
  /** What the volume can be written in. */
  blockSize: 512 | 4096;
  connections: number;
  /** Requests in flight on each connection. */
  depth: number;
  /** 4 KiB blocks that all clients share. */
  blocks: number;
  firstBlock?: number;
  seed: number;
}

export class NbdHistory {
  private readonly random: () => number;
  private readonly histories: RegisterOperation[][];
  private readonly initial: number[];
  private readonly connections: (Promise<NbdConnection> | undefined)[];
  private workers: Promise<void>[] = [];
  private clock = 0;
  private lastTag = 0;
  private stopping = false;

  /** Operations that were answered. */
  operations = 0;
  /** Connections that broke under their client. */
  disconnections = 0;

  constructor(private readonly options: HistoryOptions) {
    this.random = mulberry32(options.seed);
    const sectors = options.blocks * sectorsOfBlock;
    this.histories = Array.from({ length: sectors }, () => []);
    this.initial = Array.from({ length: sectors }, () => 0);
    this.connections = Array.from({ length: options.connections }, () => undefined);
  }

  start(): void {
    this.stopping = false;
    const { connections, depth } = this.options;
    this.workers = Array.from({ length: connections * depth }, (_, index) => this.work(index % connections));
    for (const worker of this.workers) worker.catch(() => {}); // `progress` and `stop` report it
  }

  /** Resolves once so many more operations were answered. */
  async progress(count: number): Promise<void> {
    const goal = this.operations + count;
    const failed = Promise.all(this.workers.map((worker) => worker.then(() => new Promise<void>(() => {}))));
    await Promise.race([eventually(`${count} more operations`, () => this.operations >= goal, 60_000), failed]);
  }

  /** Resolves with what is wrong with the history so far, which is forgotten then; work may start again. */
  async stop(): Promise<string[]> {
    this.stopping = true;
    await Promise.all(this.workers);
    const content = await this.readAll();
    for (const [index, connection] of this.connections.entries()) {
      await connection?.then((open) => open.disconnect()).catch(() => {});
      this.connections[index] = undefined;
    }
    return this.judge(content);
  }

  private judge(content: readonly number[]): string[] {
    const faults: string[] = [];
    for (const [sector, history] of this.histories.entries()) {
      const violation = registerViolation(this.initial[sector] ?? 0, history);
      if (violation !== null) faults.push(`sector ${sector}: ${violation}`);
      this.initial[sector] = content[sector] ?? 0;
      // What never got an answer may still come: nobody said that it did not happen.
      const open = history.filter(({ write, ended }) => write && ended === Infinity);
      this.histories[sector] = open
        .filter(({ value }) => value !== content[sector])
        .map((write) => ({ ...write, began: 0 }));
    }
    return faults;
  }

  private async work(index: number): Promise<void> {
    while (!this.stopping) {
      const connection = (this.connections[index] ??= this.connect());
      try {
        await this.operation(await connection);
        this.operations += 1;
      } catch (error) {
        if (!(error instanceof ConnectionLost)) throw error;
        this.replace(index, connection);
      }
    }
  }

  private operation(connection: NbdConnection): Promise<void> {
    const kind = this.below(32);
    if (kind === 0) return connection.flush();
    if (kind < 14) return this.read(connection);
    if (kind === 14) return this.zero(connection);
    return this.write(connection, kind === 15);
  }

  /** Of a few sectors, or blocks where the volume has larger ones; ranges overlap as they like. */
  private range(unit: number): { first: number; count: number } {
    const units = this.histories.length / unit;
    const first = this.below(units);
    return { first: first * unit, count: (1 + this.below(Math.min(unit === 1 ? 12 : 3, units - first))) * unit };
  }

  private async write(connection: NbdConnection, fua: boolean): Promise<void> {
    const { first, count } = this.range(this.options.blockSize / sectorBytes);
    this.lastTag += 1;
    const tag = this.lastTag;
    const data = Buffer.alloc(count * sectorBytes);
    for (let at = 0; at < count; at += 1) fillSector(data.subarray(at * sectorBytes), tag, first + at);
    await this.changes(first, count, tag, connection.write(this.offsetOf(first), data, { fua }));
  }

  private async zero(connection: NbdConnection): Promise<void> {
    const { first, count } = this.range(sectorsOfBlock);
    const [offset, bytes] = [this.offsetOf(first), count * sectorBytes];
    const request = this.below(2) === 0 ? connection.trim(offset, bytes) : connection.writeZeroes(offset, bytes);
    await this.changes(first, count, 0, request);
  }

  private async changes(first: number, count: number, value: number, request: Promise<void>): Promise<void> {
    const operation = { write: true, value, began: this.tick(), ended: Infinity };
    for (let sector = first; sector < first + count; sector += 1) this.histories[sector]?.push(operation);
    await request;
    operation.ended = this.tick();
  }

  private async read(connection: NbdConnection): Promise<void> {
    const { first, count } = this.range(this.options.blockSize / sectorBytes);
    const began = this.tick();
    const data = await connection.read(this.offsetOf(first), count * sectorBytes);
    this.noteRead(data, first, count, began);
  }

  private noteRead(data: Buffer, first: number, count: number, began: number): void {
    const ended = this.tick();
    for (let at = 0; at < count; at += 1) {
      const value = tagOf(data.subarray(at * sectorBytes), first + at);
      this.histories[first + at]?.push({ write: false, value, began, ended });
    }
  }

  /** Part of the history like every read, but nothing is written any more: sectors are whole. */
  private async readAll(): Promise<number[]> {
    const connection = await this.connect();
    const began = this.tick();
    const data = await connection.read(this.offsetOf(0), this.histories.length * sectorBytes);
    this.noteRead(data, 0, this.histories.length, began);
    await connection.disconnect();
    return this.histories.map((_, sector) => wholeTagOf(data.subarray(sector * sectorBytes), sector));
  }

  private replace(index: number, lost: Promise<NbdConnection>): void {
    if (this.connections[index] !== lost) return;
    this.disconnections += 1;
    this.connections[index] = undefined;
  }

  private async connect(): Promise<NbdConnection> {
    const { address, volume } = this.options;
    let connection: NbdConnection | undefined;
    const opens = async () => {
      connection = await NbdConnection.open(address, volume).catch(() => undefined);
      return connection !== undefined;
    };
    await eventually('the volume is served', opens, reconnectTimeoutMs);
    return connection as unknown as NbdConnection;
  }

  private offsetOf(sector: number): number {
    return ((this.options.firstBlock ?? 0) * sectorsOfBlock + sector) * sectorBytes;
  }

  private below(limit: number): number {
    return Math.floor(this.random() * limit);
  }

  private tick(): number {
    this.clock += 1;
    return this.clock;
  }
}

/** Words of 8 bytes, each the tag and the place: a disk and a page cache mix words of two writes, never parts of one. */
function fillSector(sector: Buffer, tag: number, number: number): void {
  for (let word = 0; word < sectorBytes / 8; word += 1) {
    sector.writeUInt32LE(tag, word * 8);
    sector.writeUInt32LE(number * 64 + word + 1, word * 8 + 4);
  }
}

/** By the first word: others may be of another write while both are under way. */
function tagOf(sector: Buffer, number: number): number {
  const [tag, place] = [sector.readUInt32LE(0), sector.readUInt32LE(4)];
  if (place !== (tag === 0 ? 0 : number * 64 + 1)) throw new Error(`Sector ${number} holds what nobody wrote there.`);
  return tag;
}

function wholeTagOf(sector: Buffer, number: number): number {
  const tag = tagOf(sector, number);
  const whole = Buffer.alloc(sectorBytes);
  if (tag !== 0) fillSector(whole, tag, number);
  if (whole.compare(sector, 0, sectorBytes) !== 0) throw new Error(`Sector ${number} is of more than one write.`);
  return tag;
}
