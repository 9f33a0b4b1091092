/** `GET /v1/events?follow=true`: a response that goes on until the client leaves or the service stops. */
import { Readable } from 'node:stream';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { eventStreamType, writeEvent } from './event-stream.js';
import type { Event, EventQuery } from './schemas.js';

export function eventStreamRoute(
  closing: AbortSignal,
  follow: (afterId: number, signal: AbortSignal) => AsyncIterable<Event>,
): (query: EventQuery, request: FastifyRequest, reply: FastifyReply) => FastifyReply {
  return (query, request, reply) => {
    const gone = new AbortController();
    reply.raw.once('close', () => gone.abort());
    const events = follow(lastEventId(request), AbortSignal.any([closing, gone.signal]));
    return reply
      .type(eventStreamType)
      .header('cache-control', 'no-store')
      .send(Readable.from(written(events, query), { objectMode: false }));
  };
}

async function* written(events: AsyncIterable<Event>, { volume }: EventQuery): AsyncGenerator<string> {
  // Something at once: proxies and clients hold back headers that come without a body.
  yield ': events\n\n';
  for await (const event of events) if (volume === undefined || event.volume === volume) yield writeEvent(event);
}

/** What a client has seen already, by the header that browsers send when they connect again. */
function lastEventId(request: FastifyRequest): number {
  const header = Number(request.headers['last-event-id'] ?? 0);
  return Number.isSafeInteger(header) ? header : 0;
}
