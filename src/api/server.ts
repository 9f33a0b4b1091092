/** The REST server: routes from the table of operations, documentation, probes; every error as problem details. */
import { createServer } from 'node:net';
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import helmet from '@fastify/helmet';
import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import underPressure from '@fastify/under-pressure';
import { CairnError } from '../errors.js';
import { drainBeforeClose } from './draining.js';
import { errorHandler, notFoundHandler, refuseClient, sendProblem } from './error-replies.js';
import { eventStreamRoute } from './event-stream-route.js';
import { openApiDocument } from './openapi.js';
import { operations, type Handlers, type Input, type Operation } from './operations.js';
import { addProbes, type Probes } from './probes.js';
import { operationIds, type OperationId } from './routes.js';
import type { Event } from './schemas.js';
import { Validator } from './validation.js';

export interface ServerOptions {
  host: string;
  /** 0 picks a free one. */
  port: number;
  version: string;
  handlers: Handlers;
  /** Events with an id above `afterId`, then each as it happens, until the signal aborts. */
  followEvents: (afterId: number, signal: AbortSignal) => AsyncIterable<Event>;
  probes: Probes;
  /** Told once of each defect, with its cause. */
  onDefect: (error: unknown, request: string) => void;
}

export interface Server {
  /** What was bound. */
  address: { host: string; port: number };
  /** Answers what was asked, ends event streams, stops listening. */
  close(): Promise<void>;
}

const bodyBytesMax = 64 * 1024;
/** Beyond this the service would only get later still by taking more. */
const eventLoopDelayMsMax = 5000;
const requestTimeoutMs = 30_000;

export async function startServer(options: ServerOptions): Promise<Server> {
  const onError = errorHandler(options.onDefect);
  const app = fastify({
    bodyLimit: bodyBytesMax,
    requestTimeout: requestTimeoutMs,
    forceCloseConnections: true,
    return503OnClosing: false,
    routerOptions: { maxParamLength: 256 },
    frameworkErrors: onError,
    clientErrorHandler: refuseClient,
  });
  app.removeContentTypeParser('text/plain');
  app.setErrorHandler(onError);
  app.setNotFoundHandler(notFoundHandler);
  app.addHook('onRequest', refuseForeignOrigin);
  const closing = drainBeforeClose(app);
  await addPlugins(app, options.version);
  addProbes(app, options.probes);
  for (const id of operationIds) addOperation(app, id, options, closing);
  return listen(app, options);
}

async function addPlugins(app: FastifyInstance, version: string): Promise<void> {
  await app.register(helmet, {
    // Over plain HTTP, which is the rule on 127.0.0.1, an upgrade to HTTPS would leave the documentation without its scripts.
    contentSecurityPolicy: { directives: { upgradeInsecureRequests: null } },
    strictTransportSecurity: false,
  });
  await app.register(underPressure, {
    maxEventLoopDelay: eventLoopDelayMsMax,
    pressureHandler: (request, reply, _kind, delayMs) => {
      // Infinite is a period in which nothing was measured: a host that kept the process waiting for a second does that.
      if (request.url === '/healthz' || delayMs === Infinity) return;
      sendProblem(reply, new CairnError('overloaded', 'The service is overloaded. Try again in a moment.'));
    },
  });
  await app.register(swagger, { mode: 'static', specification: { document: openApiDocument(version) as never } });
  await app.register(swaggerUi, { routePrefix: '/docs' });
}

function addOperation(app: FastifyInstance, id: OperationId, options: ServerOptions, closing: AbortSignal): void {
  const operation: Operation = operations[id];
  const read = inputReader(operation);
  const handler = options.handlers[id] as (input: Input<OperationId>) => Promise<unknown>;
  const follow = id === 'listEvents' ? eventStreamRoute(closing, options.followEvents) : undefined;
  app.route({
    method: operation.method,
    url: operation.path,
    handler: async (request, reply) => {
      const input = read(request);
      if (follow && 'follow' in input.query && input.query.follow) return follow(input.query, request, reply);
      const result = await handler(input);
      if (operation.status === 201) reply.header('location', locationOf(request, result));
      return reply.code(operation.status).send(result);
    },
  });
}

function inputReader(operation: Operation): (request: FastifyRequest) => Input<OperationId> {
  const params = new Validator(operation.params);
  const query = new Validator(operation.query);
  const body = new Validator(operation.body);
  return (request) =>
    ({
      params: params.checkText(request.params, 'path'),
      query: query.checkText(request.query, 'query'),
      body: body.check(request.body ?? {}, 'body'),
    }) as Input<OperationId>;
}

function locationOf(request: FastifyRequest, result: unknown): string {
  return `${request.url}/${(result as { name: string }).name}`;
}

/** A page of another site must not change anything here just because a browser can reach this address. */
async function refuseForeignOrigin(request: FastifyRequest, _reply: FastifyReply): Promise<void> {
  const { origin, host } = request.headers;
  if (origin === undefined || request.method === 'GET' || request.method === 'HEAD') return;
  if (URL.canParse(origin) && new URL(origin).host === host) return;
  throw new CairnError('origin-refused', `Pages of ${origin} may not make changes here. Use a page of this service.`);
}

async function listen(app: FastifyInstance, { host, port }: ServerOptions): Promise<Server> {
  try {
    await app.listen({ host, port });
  } catch (error) {
    await app.close();
    throw listenError(error, host, port);
  }
  const bound = app.server.address();
  return {
    address: { host, port: typeof bound === 'object' ? (bound?.port ?? port) : port },
    close: () => app.close(),
  };
}

/** Throws what {@link startServer} would throw at this address, so that it is known before anything else is begun. */
export async function checkAddress({ host, port }: { host: string; port: number }): Promise<void> {
  const probe = createServer();
  try {
    await new Promise<void>((resolve, reject) => {
      probe.once('error', reject);
      probe.listen(port, host, resolve);
    });
  } catch (error) {
    throw listenError(error, host, port);
  }
  await new Promise((resolve) => probe.close(resolve));
}

function listenError(error: unknown, host: string, port: number): CairnError {
  if (error instanceof CairnError) return error;
  const { code } = error as NodeJS.ErrnoException;
  const where = `REST cannot listen at ${host}:${port}`;
  if (code === 'EADDRINUSE')
    return new CairnError(
      'address-in-use',
      `${where}: the port is taken. Configure another with rest.port, or end what listens there.`,
      { cause: error },
    );
  if (code === 'EACCES')
    return new CairnError(
      'permission-denied',
      `${where}: it is not allowed to. Configure a port above 1023 with rest.port.`,
      { cause: error },
    );
  return new CairnError('address-unavailable', `${where}: this host has no such address. Configure rest.host.`, {
    cause: error,
  });
}
