import { describe, expect, it } from 'vitest';
import { EventLog } from '../../src/control/event-log.js';

const eventsMax = 1000;
const log = (): EventLog => new EventLog(() => new Date(0));

describe('the event log', () => {
  it('keeps the most recent events, oldest first', () => {
    const events = log();
    for (let count = 0; count <= eventsMax; count++) events.add({ kind: 'k', message: String(count) });
    const messages = events.recent().map(({ message }) => message);
    expect(messages).toHaveLength(eventsMax);
    expect([messages[0], messages.at(-1)]).toEqual(['1', String(eventsMax)]);
  });

  it('finds those of one volume', () => {
    const events = log();
    events.add({ kind: 'k', volume: 'a', message: '1' });
    events.add({ kind: 'k', volume: 'b', message: '2' });
    events.add({ kind: 'k', process: 'node', message: '3' });
    expect(events.recent('b')).toEqual([
      { id: 2, time: '1970-01-01T00:00:00.000Z', kind: 'k', volume: 'b', process: null, message: '2' },
    ]);
  });

  it('is followed from the one seen last, then as it grows, until told to end', async () => {
    const events = log();
    for (const message of ['1', '2']) events.add({ kind: 'k', message });
    const ending = new AbortController();
    const followed = events.follow(1, ending.signal);
    expect((await followed.next()).value).toMatchObject({ message: '2' });
    const next = followed.next();
    events.add({ kind: 'k', message: '3' });
    expect((await next).value).toMatchObject({ message: '3' });
    const end = followed.next();
    ending.abort();
    expect((await end).done).toBe(true);
  });

  it('is followed from the beginning by one that saw events of an earlier run', async () => {
    const events = log();
    events.add({ kind: 'k', message: '1' });
    const followed = events.follow(99, new AbortController().signal);
    expect((await followed.next()).value).toMatchObject({ id: 1 });
  });
});
