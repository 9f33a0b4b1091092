/** A small NBD server for a device in memory that breaks its promises in one chosen way: what tests of tests need. */
import { createServer, type Server, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { command, magic, optionReply } from './nbd-wire.js';
import { mulberry32 } from './random.js';

const blockBytes = 4096;
/** A moment, so that operations of several clients meet. */
const momentMsMax = 3;

export type Breakage =
  /** None: what a test says about the others means something then. */
  | 'none'
  | 'acknowledges-before-writing'
  | 'loses-writes-when-killed'
  | 'reads-stale'
  /** The later part of a long write comes after its acknowledgement. */
  | 'reorders-torn-writes'
  /** Parts of a block are written as read, change, write, without a lock. */
  | 'loses-updates-of-partial-blocks';

export class BrokenNbdServer {
  private readonly disk: Buffer;
  /** What a killed process takes with it. */
  private readonly unwritten: { offset: number; data: Buffer }[] = [];
  private stale: Buffer;
  private readonly random: () => number;
  private readonly sockets = new Set<Socket>();
  private server: Server | undefined;
  private writes = 0;
  private life = 0;

  constructor(
    private readonly path: string,
    private readonly breakage: Breakage,
    sizeBytes: number,
    seed: number,
  ) {
    this.disk = Buffer.alloc(sizeBytes);
    this.stale = Buffer.alloc(sizeBytes);
    this.random = mulberry32(seed);
  }

  async start(): Promise<void> {
    this.life += 1;
    this.server = createServer((socket) => {
      this.sockets.add(socket);
      socket.on('error', () => {}).on('close', () => this.sockets.delete(socket));
      void this.serve(new Incoming(socket), socket).catch(() => socket.destroy());
    });
    await new Promise<void>((resolve) => this.server?.listen(this.path, resolve));
  }

  /** As SIGKILL would: connections break, memory is gone, the disk stays. */
  async kill(): Promise<void> {
    this.life += 1;
    this.unwritten.length = 0;
    const closed = new Promise((resolve) => this.server?.close(resolve));
    for (const socket of this.sockets) socket.destroy();
    await closed;
  }

  private async serve(incoming: Incoming, socket: Socket): Promise<void> {
    await this.negotiate(incoming, socket);
    for (;;) {
      const header = await incoming.read(28);
      const [type, cookie] = [header.readUInt16BE(6), header.subarray(8, 16)];
      const [offset, bytes] = [Number(header.readBigUInt64BE(16)), header.readUInt32BE(24)];
      if (type === command.disconnect) return void socket.end();
      const payload = type === command.write ? await incoming.read(bytes) : Buffer.alloc(bytes);
      void this.answer(socket, { type, cookie, offset, bytes, payload });
    }
  }

  private async negotiate(incoming: Incoming, socket: Socket): Promise<void> {
    const greeting = Buffer.alloc(18);
    greeting.writeBigUInt64BE(magic.server, 0);
    greeting.writeBigUInt64BE(magic.option, 8);
    greeting.writeUInt16BE(3, 16);
    socket.write(greeting);
    await incoming.read(4);
    const option = await incoming.read(16);
    await incoming.read(option.readUInt32BE(12));
    const exported = Buffer.alloc(12);
    exported.writeBigUInt64BE(BigInt(this.disk.length), 2);
    exported.writeUInt16BE(1 | 4 | 8 | 32 | 64, 10);
    socket.write(replyToOption(option.readUInt32BE(8), optionReply.info, exported));
    socket.write(replyToOption(option.readUInt32BE(8), optionReply.ack));
  }

  private async answer(socket: Socket, request: Request): Promise<void> {
    const life = this.life;
    await this.moment();
    if (life !== this.life) return;
    if (request.type === command.flush) this.settle();
    const changes = request.type !== command.flush && request.type !== command.read;
    if (changes) await this.change(request.offset, request.payload);
    const data = request.type === command.read ? this.content(request.offset, request.bytes) : Buffer.alloc(0);
    if (life !== this.life) return;
    await this.moment();
    const header = Buffer.alloc(16);
    header.writeUInt32BE(magic.simpleReply, 0);
    request.cookie.copy(header, 8);
    if (life === this.life) socket.write(Buffer.concat([header, data]));
  }

  private async change(offset: number, data: Buffer): Promise<void> {
    this.writes += 1;
    if (this.writes % 50 === 0) this.disk.copy(this.stale);
    switch (this.breakage) {
      case 'acknowledges-before-writing':
        this.later(() => data.copy(this.disk, offset));
        return;
      case 'loses-writes-when-killed':
        return void this.unwritten.push({ offset, data });
      case 'reorders-torn-writes': {
        const first = Math.min(blockBytes, data.length);
        data.copy(this.disk, offset, 0, first);
        this.later(() => data.copy(this.disk, offset + first, first));
        return;
      }
      case 'loses-updates-of-partial-blocks':
        return this.changeWholeBlocks(offset, data);
      default:
        data.copy(this.disk, offset);
    }
  }

  private async changeWholeBlocks(offset: number, data: Buffer): Promise<void> {
    const first = Math.floor(offset / blockBytes) * blockBytes;
    const end = Math.ceil((offset + data.length) / blockBytes) * blockBytes;
    const blocks = Buffer.from(this.disk.subarray(first, end));
    await this.moment();
    data.copy(blocks, offset - first);
    blocks.copy(this.disk, first);
  }

  private content(offset: number, bytes: number): Buffer {
    if (this.breakage === 'reads-stale' && this.random() < 0.02) return this.stale.subarray(offset, offset + bytes);
    const content = Buffer.from(this.disk);
    for (const write of this.unwritten) write.data.copy(content, write.offset);
    return content.subarray(offset, offset + bytes);
  }

  private settle(): void {
    for (const write of this.unwritten) write.data.copy(this.disk, write.offset);
    this.unwritten.length = 0;
  }

  private moment(): Promise<void> {
    return this.random() < 0.5 ? Promise.resolve() : delay(this.random() * momentMsMax);
  }

  private later(work: () => void): void {
    const life = this.life;
    setTimeout(() => life === this.life && work(), this.random() * momentMsMax * 4);
  }
}

interface Request {
  type: number;
  cookie: Buffer;
  offset: number;
  bytes: number;
  payload: Buffer;
}

function replyToOption(option: number, type: number, data: Buffer = Buffer.alloc(0)): Buffer {
  const header = Buffer.alloc(20);
  header.writeBigUInt64BE(magic.optionReply, 0);
  header.writeUInt32BE(option, 8);
  header.writeUInt32BE(type, 12);
  header.writeUInt32BE(data.length, 16);
  return Buffer.concat([header, data]);
}

/** A socket read by exact lengths. */
class Incoming {
  private buffered = Buffer.alloc(0);
  private wake: () => void = () => {};
  private ended = false;

  constructor(socket: Socket) {
    socket.on('data', (data: Buffer) => {
      this.buffered = Buffer.concat([this.buffered, data]);
      this.wake();
    });
    socket.on('close', () => {
      this.ended = true;
      this.wake();
    });
  }

  async read(bytes: number): Promise<Buffer> {
    while (this.buffered.length < bytes) {
      if (this.ended) throw new Error('the client has gone');
      await new Promise<void>((resolve) => (this.wake = resolve));
    }
    const data = this.buffered.subarray(0, bytes);
    this.buffered = this.buffered.subarray(bytes);
    return data;
  }
}
