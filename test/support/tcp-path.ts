/** A way to a server that can be cut: what connects to it is passed on, until it is. */
import { createConnection, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { onTestFinished } from 'vitest';

export class TcpPath {
  private readonly sockets = new Set<Socket>();

  private constructor(
    private readonly server: Server,
    /** `HOST:PORT` */
    readonly address: string,
  ) {}

  /** To a port of this host. Cut after the running test. */
  static async open(port: number): Promise<TcpPath> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()));
    const path = new TcpPath(server, `127.0.0.1:${(server.address() as AddressInfo).port}`);
    server.on('connection', (client) => path.join(client, createConnection({ host: '127.0.0.1', port })));
    onTestFinished(() => path.cut());
    return path;
  }

  /** Every connection ends, and none can be made. */
  cut(): void {
    this.server.close();
    for (const socket of this.sockets) socket.destroy();
  }

  private join(one: Socket, other: Socket): void {
    for (const [from, to] of [
      [one, other],
      [other, one],
    ] as const) {
      this.sockets.add(from);
      from.setNoDelay(true);
      from.on('error', () => {});
      from.on('close', () => {
        this.sockets.delete(from);
        to.destroy();
      });
      from.pipe(to);
    }
  }
}
