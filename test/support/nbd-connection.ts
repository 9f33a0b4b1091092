/** A small NBD client for tests: many requests in flight, every error by its number, nothing repeated or hidden. */
import {
  command,
  commandFlag,
  info,
  magic,
  nameAndInfos,
  option,
  optionReply,
  optionRequest,
  requestHeader,
} from './nbd-wire.js';
import { clientFlags, type Command } from './nbd-wire.js';
import { ConnectionLost, NbdStream, type NbdAddress } from './nbd-stream.js';

/** The server answered a request with an error. */
export class NbdError extends Error {
  constructor(readonly errno: number) {
    super(`NBD error ${errno}`);
  }
}

/** The server refused an option; `reply` is the reply type. */
export class NbdOptionError extends Error {
  constructor(
    readonly reply: number,
    text: string,
  ) {
    super(`NBD option error ${reply - 0x80000000}: ${text}`);
  }
}

interface Pending {
  readBytes: number;
  resolve: (data: Buffer) => void;
  reject: (error: Error) => void;
}

export class NbdConnection {
  private readonly pending = new Map<bigint, Pending>();
  private nextCookie = 1n;

  private constructor(
    readonly stream: NbdStream,
    readonly sizeBytes: number,
    readonly transmissionFlags: number,
    readonly blockSize: number,
  ) {
    void this.receiveReplies();
  }

  /** Connects and enters transmission by GO; rejects with {@link NbdOptionError} when the export is refused. */
  static async open(address: NbdAddress, name: string): Promise<NbdConnection> {
    const stream = await greeted(address);
    try {
      stream.write(optionRequest(option.go, nameAndInfos(name)));
      return await NbdConnection.transmission(stream);
    } catch (error) {
      stream.destroy();
      throw error;
    }
  }

  read(offset: number, bytes: number): Promise<Buffer> {
    return this.request(command.read, offset, bytes);
  }

  async write(offset: number, data: Buffer, { fua = false } = {}): Promise<void> {
    await this.request(command.write, offset, data.length, fua ? commandFlag.fua : 0, data);
  }

  async flush(): Promise<void> {
    await this.request(command.flush, 0, 0);
  }

  async trim(offset: number, bytes: number): Promise<void> {
    await this.request(command.trim, offset, bytes);
  }

  async writeZeroes(offset: number, bytes: number): Promise<void> {
    await this.request(command.writeZeroes, offset, bytes);
  }

  /** Any request, also ones that no sane client would send. */
  request(type: number, offset: number | bigint, bytes: number, flags = 0, payload?: Buffer): Promise<Buffer> {
    const cookie = this.nextCookie;
    this.nextCookie += 1n;
    return new Promise((resolve, reject) => {
      const readBytes = type === (command.read as Command) ? bytes : 0;
      this.pending.set(cookie, { readBytes, resolve, reject });
      this.stream.write(requestHeader(type, cookie, BigInt(offset), bytes, flags));
      if (payload) this.stream.write(payload);
    });
  }

  /** The polite end: the server finishes what is in flight and closes. */
  async disconnect(): Promise<void> {
    this.stream.write(requestHeader(command.disconnect, 0n, 0n, 0));
    await this.stream.closed;
  }

  private static async transmission(stream: NbdStream): Promise<NbdConnection> {
    let sizeBytes = 0;
    let flags = 0;
    let blockSize = 1;
    for (;;) {
      const { type, data } = await readOptionReply(stream);
      if (type === optionReply.ack) return new NbdConnection(stream, sizeBytes, flags, blockSize);
      if (type !== optionReply.info) throw new NbdOptionError(type, data.toString());
      const kind = data.readUInt16BE(0);
      if (kind === info.exportInfo) [sizeBytes, flags] = [Number(data.readBigUInt64BE(2)), data.readUInt16BE(10)];
      if (kind === info.blockSize) blockSize = data.readUInt32BE(2);
    }
  }

  /** Simple replies only: structured ones were not asked for. */
  private async receiveReplies(): Promise<void> {
    try {
      for (;;) {
        const header = await this.stream.read(16);
        if (header.readUInt32BE(0) !== magic.simpleReply) throw new ConnectionLost('a reply with a wrong magic');
        await this.complete(header.readBigUInt64BE(8), header.readUInt32BE(4));
      }
    } catch (error) {
      this.stream.destroy();
      for (const { reject } of this.pending.values()) reject(error as Error);
      this.pending.clear();
    }
  }

  private async complete(cookie: bigint, error: number): Promise<void> {
    const pending = this.pending.get(cookie);
    if (pending === undefined) throw new ConnectionLost(`a reply to the unknown request ${cookie}`);
    const data = error === 0 && pending.readBytes > 0 ? await this.stream.read(pending.readBytes) : Buffer.alloc(0);
    this.pending.delete(cookie);
    if (error === 0) pending.resolve(data);
    else pending.reject(new NbdError(error));
  }
}

/** Connected, the greeting read and answered: the server waits for options. */
export async function greeted(address: NbdAddress): Promise<NbdStream> {
  const stream = await NbdStream.connect(address);
  const greeting = await stream.read(18);
  if (greeting.readBigUInt64BE(0) !== magic.server || greeting.readBigUInt64BE(8) !== magic.option) {
    throw new ConnectionLost('not a newstyle server');
  }
  const flags = Buffer.alloc(4);
  flags.writeUInt32BE(clientFlags);
  stream.write(flags);
  return stream;
}

export async function readOptionReply(stream: NbdStream): Promise<{ option: number; type: number; data: Buffer }> {
  const header = await stream.read(20);
  if (header.readBigUInt64BE(0) !== magic.optionReply) throw new ConnectionLost('an option reply with a wrong magic');
  const length = header.readUInt32BE(16);
  const data = length === 0 ? Buffer.alloc(0) : await stream.read(length);
  return { option: header.readUInt32BE(8), type: header.readUInt32BE(12), data };
}
