import { describe, expect, it } from 'vitest';
import { KeyedMutex } from '../../src/control/keyed-mutex.js';

function gate(): { open: () => void; passed: Promise<void> } {
  let open = (): void => {};
  const passed = new Promise<void>((resolve) => (open = resolve));
  return { open, passed };
}

describe('the mutex', () => {
  it('does one thing at a time for a key, in order', async () => {
    const mutex = new KeyedMutex();
    const order: string[] = [];
    const first = gate();
    const one = mutex.run('a', async () => {
      await first.passed;
      order.push('one');
    });
    const two = mutex.run('a', async () => void order.push('two'));
    await mutex.run('b', async () => void order.push('other key'));
    first.open();
    await Promise.all([one, two]);
    expect(order).toEqual(['other key', 'one', 'two']);
  });

  it('goes on after a failure, which only its caller sees', async () => {
    const mutex = new KeyedMutex();
    const failed = mutex.run('a', () => Promise.reject(new Error('no')));
    const next = mutex.run('a', async () => 'yes');
    await expect(failed).rejects.toThrow('no');
    expect(await next).toBe('yes');
  });

  it('is idle when everything is over, also what was added meanwhile', async () => {
    const mutex = new KeyedMutex();
    const order: string[] = [];
    void mutex.run('a', async () => {
      void mutex.run('b', async () => void order.push('added'));
    });
    await mutex.idle();
    expect(order).toEqual(['added']);
    await mutex.idle();
  });
});
