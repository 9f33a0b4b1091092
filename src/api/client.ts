/** A typed client of the REST interface, with one method for each operation of the table. For the CLI and the web UI. */
import { CairnError } from '../errors.js';
import type { Input, Output } from './operations.js';
import { operationIds, routes, type OperationId } from './routes.js';
import { fromProblem } from './problem.js';
import type { Event, EventQuery } from './schemas.js';
import { readEventStream } from './event-stream.js';

/** Parts without fields may be left out. */
type Given<Part> = object extends Part ? Partial<Part> : Part;
type RequiredParts<Id extends OperationId> = {
  [Part in keyof Input<Id>]: object extends Input<Id>[Part] ? never : Part;
}[keyof Input<Id>];
export type CallInput<Id extends OperationId> = { [Part in RequiredParts<Id>]: Input<Id>[Part] } & {
  [Part in Exclude<keyof Input<Id>, RequiredParts<Id>>]?: Given<Input<Id>[Part]>;
};
type CallArguments<Id extends OperationId> =
  RequiredParts<Id> extends never ? [input?: CallInput<Id>] : [input: CallInput<Id>];

export type Client = { [Id in OperationId]: (...input: CallArguments<Id>) => Promise<Output<Id>> } & {
  /** The recent events, then each as it happens, until `signal` aborts or the service stops. */
  followEvents(query?: Omit<EventQuery, 'follow'>, signal?: AbortSignal): AsyncGenerator<Event>;
};

export interface ClientOptions {
  /** e.g. `http://127.0.0.1:9420` */
  url: string;
  /** How long an answer may take. */
  timeoutMs?: number;
  /** In place of the global one. */
  fetch?: typeof fetch;
}

type QueryValue = string | number | boolean | undefined;

interface AnyInput {
  params?: Record<string, string>;
  query?: Record<string, QueryValue>;
  body?: Record<string, unknown>;
}

/** Opening and closing a volume flushes it, which takes a while on a slow disk. */
const timeoutMsDefault = 120_000;

/** Every method rejects with the `CairnError` that the service answered with, or `service-unavailable` if it did not. */
export function createClient(options: ClientOptions): Client {
  const calls = operationIds.map((id) => [id, (input: AnyInput = {}) => call(options, id, input)]);
  const client = Object.fromEntries(calls) as Omit<Client, 'followEvents'>;
  return Object.assign(client, {
    followEvents: (query: Omit<EventQuery, 'follow'> = {}, signal?: AbortSignal) =>
      followEvents(options, query, signal),
  });
}

async function call(
  options: ClientOptions,
  id: OperationId,
  { params = {}, query = {}, body }: AnyInput,
): Promise<unknown> {
  const { method, path } = routes[id];
  const response = await send(options, urlOf(options.url, path, params, query), {
    method,
    signal: AbortSignal.timeout(options.timeoutMs ?? timeoutMsDefault),
    ...(body && { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
  });
  return response.status === 204 ? undefined : response.json();
}

async function* followEvents(options: ClientOptions, query: object, signal?: AbortSignal): AsyncGenerator<Event> {
  const url = urlOf(options.url, routes.listEvents.path, {}, { ...query, follow: true });
  const response = await send(options, url, { ...(signal && { signal }) });
  if (response.body) yield* readEventStream(response.body);
}

/** The response, if it is a success. */
async function send(options: ClientOptions, url: URL, request: RequestInit): Promise<Response> {
  const response = await (options.fetch ?? fetch)(url, request).catch((cause: unknown) => {
    throw unreachable(url, cause);
  });
  if (response.ok) return response;
  const text = await response.text();
  throw fromProblem(response.status, parsed(text));
}

function unreachable(url: URL, cause: unknown): CairnError {
  const isLate = cause instanceof Error && cause.name === 'TimeoutError';
  const what = isLate ? `${url.origin} did not answer in time.` : `No service answers at ${url.origin}.`;
  return new CairnError('service-unavailable', `${what} Check that \`cairn serve\` runs there.`, { cause });
}

function urlOf(base: string, path: string, params: Record<string, string>, query: Record<string, QueryValue>): URL {
  const filled = path.replaceAll(/:(\w+)/g, (_match, param: string) => encodeURIComponent(params[param] ?? ''));
  const url = new URL(filled, base);
  for (const [field, value] of Object.entries(query))
    if (value !== undefined) url.searchParams.set(field, String(value));
  return url;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
