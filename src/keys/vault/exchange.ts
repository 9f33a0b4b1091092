/** HTTP requests to Vault and their answers, whatever these say. */
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest, type RequestOptions } from 'node:https';
import { unavailable } from '../key-provider.js';

/** More than Vault's integrated storage has in one entry (`max_entry_size`). */
const answerBytesMax = 2 * 1024 * 1024;
/** At the same time; others wait. All volumes ask at once when the service starts. */
const connectionsMax = 8;

export interface Exchange {
  method: 'GET' | 'POST';
  headers: Record<string, string>;
  body: string | undefined;
  /** Authorities to trust instead of those that Node knows. */
  ca: Buffer | undefined;
  signal: AbortSignal;
}

export interface VaultAnswer {
  status: number;
  location: string | undefined;
  /** Seconds. */
  retryAfter: number | undefined;
  /** The reader zeroes it. */
  body: Buffer;
}

export class Exchanges {
  private readonly http = new HttpAgent({ maxSockets: connectionsMax });
  private readonly https = new HttpsAgent({ maxSockets: connectionsMax });

  /** Rejects with the system's error, or `key-unavailable` for an answer that is too long. */
  send(url: URL, { method, headers, body, ca, signal }: Exchange): Promise<VaultAnswer> {
    const options: RequestOptions = { method, headers, signal };
    return new Promise((resolve, reject) => {
      const answered = (response: IncomingMessage) => void readAnswer(response).then(resolve, reject);
      // Said in full, as the environment could say otherwise (NODE_TLS_REJECT_UNAUTHORIZED).
      const secured = { ...options, agent: this.https, rejectUnauthorized: true, ...(ca && { ca }) };
      const isSecured = url.protocol === 'https:';
      const request = isSecured
        ? httpsRequest(url, secured, answered)
        : httpRequest(url, { ...options, agent: this.http }, answered);
      request.on('error', reject);
      request.end(body);
    });
  }
}

async function readAnswer(response: IncomingMessage): Promise<VaultAnswer> {
  const { statusCode: status = 0, headers } = response;
  const seconds = Number(headers['retry-after'] ?? Number.NaN);
  const retryAfter = Number.isFinite(seconds) && seconds >= 0 ? seconds : undefined;
  return { status, location: headers.location, retryAfter, body: await readBody(response) };
}

async function readBody(response: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      chunks.push(chunk);
      length += chunk.length;
      if (length > answerBytesMax)
        throw unavailable('The answer is longer than 2 MiB. Check that keys.vault.address is that of Vault.');
    }
    return Buffer.concat(chunks);
  } finally {
    for (const chunk of chunks) chunk.fill(0);
  }
}
