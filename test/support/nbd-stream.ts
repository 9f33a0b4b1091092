/** A socket read by exact lengths: what a protocol of fixed headers needs. */
import { createConnection, type Socket } from 'node:net';

export type NbdAddress = { host: string; port: number } | { path: string };

/** A server that says nothing for so long is stuck: the test should say so before it times out. */
const silenceMsMax = 15_000;

/** The server closed the connection, or it broke. */
export class ConnectionLost extends Error {}

export class NbdStream {
  private buffered: Buffer[] = [];
  private bufferedBytes = 0;
  private wanted: { bytes: number; resolve: (data: Buffer) => void; reject: (error: Error) => void } | undefined;
  private lost: ConnectionLost | undefined;
  /** Resolves when the connection has ended, from either side. */
  readonly closed: Promise<void>;

  private constructor(private readonly socket: Socket) {
    socket.on('data', (data: Buffer) => this.accept(data));
    this.closed = new Promise((resolve) => {
      socket.once('close', () => {
        this.fail('the server closed the connection');
        resolve();
      });
    });
    socket.on('error', (error) => this.fail(error.message));
    socket.setTimeout(silenceMsMax, () => socket.destroy(new Error(`silence for ${silenceMsMax} ms`)));
    socket.setNoDelay(true);
  }

  static connect(address: NbdAddress): Promise<NbdStream> {
    return new Promise((resolve, reject) => {
      const socket = createConnection(address);
      socket.once('error', (error) => reject(new ConnectionLost(error.message)));
      socket.once('connect', () => resolve(new NbdStream(socket)));
    });
  }

  write(data: Buffer): void {
    this.socket.write(data);
  }

  /** Takes nothing more from the socket, whose buffers then fill up. */
  pause(): void {
    this.socket.pause();
  }

  /** Sends what is left and a FIN. */
  end(): void {
    this.socket.end();
  }

  /** At once, without a word. */
  destroy(): void {
    this.socket.destroy();
  }

  /** Exactly so many bytes; one reader at a time. */
  read(bytes: number): Promise<Buffer> {
    if (this.bufferedBytes >= bytes) return Promise.resolve(this.take(bytes));
    if (this.lost) return Promise.reject(this.lost);
    return new Promise((resolve, reject) => (this.wanted = { bytes, resolve, reject }));
  }

  private accept(data: Buffer): void {
    this.buffered.push(data);
    this.bufferedBytes += data.length;
    if (this.wanted === undefined || this.bufferedBytes < this.wanted.bytes) return;
    const { bytes, resolve } = this.wanted;
    this.wanted = undefined;
    resolve(this.take(bytes));
  }

  private take(bytes: number): Buffer {
    const all = this.buffered.length === 1 ? (this.buffered[0] ?? Buffer.alloc(0)) : Buffer.concat(this.buffered);
    this.buffered = all.length === bytes ? [] : [all.subarray(bytes)];
    this.bufferedBytes = all.length - bytes;
    return all.subarray(0, bytes);
  }

  private fail(reason: string): void {
    this.lost ??= new ConnectionLost(reason);
    this.wanted?.reject(this.lost);
    this.wanted = undefined;
  }
}
