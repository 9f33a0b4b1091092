import { describe, expect, it } from 'vitest';
import { KeyedQueue } from '../../src/engine/keyed-queue.js';

describe('KeyedQueue', () => {
  it('runs tasks of one key in order, one at a time', async () => {
    const queue = new KeyedQueue();
    const gate = newGate();
    const order: string[] = [];
    const first = queue.run('a', async () => {
      await gate.promise;
      order.push('first');
    });
    const second = queue.run('a', async () => void order.push('second'));
    gate.resolve();
    await Promise.all([first, second]);
    expect(order).toEqual(['first', 'second']);
  });

  it('runs tasks of different keys side by side', async () => {
    const queue = new KeyedQueue();
    const gate = newGate();
    const blocked = queue.run('a', () => gate.promise);
    expect(await queue.run('b', async () => 'done')).toBe('done');
    gate.resolve();
    await blocked;
  });

  it('goes on behind a task that failed', async () => {
    const queue = new KeyedQueue();
    const failed = queue.run('a', async () => {
      throw new Error('no');
    });
    const next = queue.run('a', async () => 'done');
    await expect(failed).rejects.toThrow('no');
    expect(await next).toBe('done');
  });
});

/** A promise and what resolves it. */
function newGate(): { promise: Promise<void>; resolve: () => void } {
  let resolve = (): void => {};
  const promise = new Promise<void>((open) => {
    resolve = open;
  });
  return { promise, resolve };
}
