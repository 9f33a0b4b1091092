/** Ending the server without cutting off whoever waits for an answer. */
import type { ServerResponse } from 'node:http';
import type { FastifyInstance } from 'fastify';
import { CairnError } from '../errors.js';

/** Longer than any operation takes; what hangs must not keep the service from ending. */
const drainTimeoutMs = 150_000;

/**
 * Makes `close` refuse new requests, then wait for those under way; answers without an end are to end when the returned signal aborts.
 * The connections that are left it may cut: node's own close would wait a minute for those on which nothing was ever asked.
 */
export function drainBeforeClose(app: FastifyInstance): AbortSignal {
  const closing = new AbortController();
  const unanswered = new Set<ServerResponse>();
  let drained = (): void => {};
  app.addHook('onRequest', async (_request, reply) => {
    if (closing.signal.aborted)
      throw new CairnError('service-unavailable', 'The service is stopping. Try again once it runs.');
    unanswered.add(reply.raw);
    reply.raw.once('close', () => {
      unanswered.delete(reply.raw);
      if (unanswered.size === 0) drained();
    });
  });
  app.addHook('preClose', async () => {
    closing.abort();
    if (unanswered.size === 0) return;
    await new Promise<void>((resolve) => {
      const late = setTimeout(resolve, drainTimeoutMs);
      drained = () => {
        clearTimeout(late);
        resolve();
      };
    });
  });
  return closing.signal;
}
