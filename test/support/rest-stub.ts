/** An HTTP server that answers as it is told, and remembers what it was asked. */
import { createServer, type Server } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';

export interface RestRequest {
  method: string;
  path: string;
  body: unknown;
}

export interface RestAnswer {
  status: number;
  body?: unknown;
}

export class RestStub {
  readonly requests: RestRequest[] = [];
  private readonly answers = new Map<string, RestAnswer>();

  private waiting: { route: string; resolve: () => void }[] = [];

  private constructor(private readonly server: Server) {}

  static async start(): Promise<RestStub> {
    const server = createServer();
    const stub = new RestStub(server);
    server.on('request', (request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        const { status, body } = stub.answerTo(
          request.method ?? '',
          request.url ?? '',
          Buffer.concat(chunks).toString(),
        );
        response.writeHead(status, { 'content-type': 'application/json' });
        response.end(body === undefined ? undefined : JSON.stringify(body));
        stub.tell(`${request.method} ${request.url}`);
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return stub;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  /** `route` is such as `GET /v1/volumes`. */
  answer(route: string, answer: RestAnswer): void {
    this.answers.set(route, answer);
  }

  /** Resolves at the next such request, which is still answered as it was told before. */
  asked(method: string, path: string): Promise<void> {
    return new Promise((resolve) => this.waiting.push({ route: `${method} ${path}`, resolve }));
  }

  async close(): Promise<void> {
    this.server.close();
    this.server.closeAllConnections();
    await once(this.server, 'close');
  }

  private tell(route: string): void {
    const [told, others] = [true, false].map((is) => this.waiting.filter((each) => (each.route === route) === is));
    this.waiting = others ?? [];
    for (const { resolve } of told ?? []) resolve();
  }

  private answerTo(method: string, path: string, text: string): RestAnswer {
    this.requests.push({ method, path, body: text === '' ? undefined : (JSON.parse(text) as unknown) });
    return this.answers.get(`${method} ${path}`) ?? { status: 404, body: { code: 'route-not-found', detail: 'No.' } };
  }
}
