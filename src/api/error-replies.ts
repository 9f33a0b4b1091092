/** How the server says no: whatever is thrown becomes problem details, and nothing of our insides gets out. */
import type { Socket } from 'node:net';
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import { CairnError, catalogue, catalogued, type ErrorCode } from '../errors.js';
import { problemOf, problemType } from './problem.js';
import { probePaths } from './probes.js';
import { routes } from './routes.js';

/** What fastify refuses by itself. */
const frameworkCodes: Readonly<Record<string, ErrorCode>> = {
  FST_ERR_CTP_INVALID_JSON_BODY: 'malformed-body',
  FST_ERR_CTP_EMPTY_JSON_BODY: 'malformed-body',
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: 'malformed-body',
  FST_ERR_CTP_BODY_TOO_LARGE: 'body-too-large',
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'unsupported-media-type',
  FST_ERR_CTP_INVALID_TYPE: 'unsupported-media-type',
  FST_ERR_BAD_URL: 'route-not-found',
  FST_ERR_MAX_PARAM_LENGTH: 'route-not-found',
};

export function errorHandler(onDefect: (error: unknown, request: string) => void) {
  return (error: unknown, request: FastifyRequest, reply: FastifyReply): void => {
    const known = expected(error);
    if (!known || known.code === 'internal') onDefect(error, `${request.method} ${request.url}`);
    sendProblem(reply, known ?? new CairnError('internal', catalogue.internal.advice));
  };
}

export function sendProblem(reply: FastifyReply, error: CairnError): void {
  if (error.retryAfterSeconds !== undefined) reply.header('retry-after', String(error.retryAfterSeconds));
  void reply
    .code(error.httpStatus)
    .type(problemType)
    .send(JSON.stringify(problemOf(error)));
}

/** 405 with what is allowed if the path exists, else 404. */
export function notFoundHandler(request: FastifyRequest, reply: FastifyReply): void {
  const path = request.url.split('?', 1)[0] ?? '';
  const methods = methodsOf(path);
  if (methods.length === 0) return sendProblem(reply, catalogued('route-not-found', `There is nothing at ${path}.`));
  const allowed = methods.join(', ');
  reply.header('allow', allowed);
  sendProblem(
    reply,
    new CairnError('method-not-allowed', `${path} does not take ${request.method}. Use one of ${allowed}.`),
  );
}

/** What is not HTTP at all: answered below fastify, which never sees a request. */
export function refuseClient(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) return void socket.destroy();
  const problem = JSON.stringify(
    problemOf(new CairnError('malformed-body', 'This is not a valid HTTP request. Send HTTP/1.1.')),
  );
  const head = [
    'HTTP/1.1 400 Bad Request',
    `Content-Type: ${problemType}`,
    `Content-Length: ${Buffer.byteLength(problem)}`,
    'Connection: close',
  ];
  socket.end(`${head.join('\r\n')}\r\n\r\n${problem}`);
}

function expected(error: unknown): CairnError | undefined {
  if (error instanceof CairnError) return error;
  const { code, statusCode, message } = error as FastifyError;
  const known = frameworkCodes[code];
  if (known) return catalogued(known, message);
  // Broken JSON reaches us as a bare SyntaxError with fastify's status.
  return statusCode === 400 ? catalogued('malformed-body', message, { cause: error }) : undefined;
}

function methodsOf(path: string): string[] {
  if (probePaths.includes(path)) return ['GET', 'HEAD'];
  const methods = Object.values(routes)
    .filter((route) => new RegExp(`^${route.path.replaceAll(/:\w+/g, '[^/]+')}$`).test(path))
    .map(({ method }) => method);
  return methods.flatMap((method) => (method === 'GET' ? ['GET', 'HEAD'] : [method]));
}
