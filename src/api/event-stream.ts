/** Events as server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html), written and read. */
import type { Event } from './schemas.js';

export const eventStreamType = 'text/event-stream';

/** One event of the stream. JSON has no line break in it, so that one `data` line holds it. */
export function writeEvent(event: Event): string {
  return `id: ${event.id}\nevent: ${event.kind}\ndata: ${JSON.stringify(event)}\n\n`;
}

/** The events of a response's body; lines other than `data` are skipped. */
export async function* readEventStream(body: ReadableStream<Uint8Array>): AsyncGenerator<Event> {
  const decoder = new TextDecoder();
  let pending = '';
  for await (const chunk of body) {
    pending += decoder.decode(chunk, { stream: true });
    const blocks = pending.split('\n\n');
    pending = blocks.pop() ?? '';
    yield* blocks.flatMap(eventIn);
  }
}

function eventIn(block: string): Event[] {
  const data = block.split('\n').find((line) => line.startsWith('data: '));
  return data === undefined ? [] : [JSON.parse(data.slice('data: '.length)) as Event];
}
