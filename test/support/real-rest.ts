/** Cairn's REST interface as tests and the benchmark use it, over plain HTTP. */

export interface RestResponse {
  status: number;
  /** The parsed document; `undefined` for an empty body. */
  body: unknown;
}

/** An answer other than 2xx where the caller expected none. */
export class RestError extends Error {
  constructor(
    readonly request: string,
    readonly response: RestResponse,
  ) {
    super(`${request} was answered with ${response.status}: ${JSON.stringify(response.body)}`);
  }

  get code(): unknown {
    return (this.response.body as { code?: unknown } | undefined)?.code;
  }
}

export class RestClient {
  constructor(readonly url: string) {}

  async isReady(): Promise<boolean> {
    try {
      const { status } = await this.send('GET', '/readyz');
      return status === 200;
    } catch {
      return false;
    }
  }

  /** Any answer, whatever its status. */
  async send(method: string, path: string, body?: unknown): Promise<RestResponse> {
    const json = { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) };
    return this.sendRaw(path, body === undefined ? { method } : { method, ...json });
  }

  async sendRaw(path: string, init: RequestInit): Promise<RestResponse> {
    const response = await fetch(`${this.url}${path}`, init);
    const text = await response.text();
    const isJson = response.headers.get('content-type')?.includes('json') ?? false;
    return { status: response.status, body: isJson && text !== '' ? (JSON.parse(text) as unknown) : text };
  }

  /** The body of a 2xx answer; throws {@link RestError} for any other. */
  async call<Body = unknown>(method: string, path: string, body?: unknown): Promise<Body> {
    const response = await this.send(method, path, body);
    if (response.status < 200 || response.status > 299) throw new RestError(`${method} ${path}`, response);
    return response.body as Body;
  }
}
