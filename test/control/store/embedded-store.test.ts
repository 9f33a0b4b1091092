/** What the embedded store alone does; test/conformance/kv-embedded.test.ts has the rest. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { EmbeddedStore } from '../../../src/control/store/embedded-store.js';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'cairn-store-'));
});
afterEach(() => rm(directory, { recursive: true }));

describe('opening', () => {
  it('refuses a second opener and says what to do', async () => {
    const store = await EmbeddedStore.open(directory);
    await expect(EmbeddedStore.open(directory)).rejects.toMatchObject({
      code: 'store-locked',
      detail: expect.stringContaining(directory) as string,
    });
    await store.close();
    await (await EmbeddedStore.open(directory)).close();
  });

  it('refuses to open what another process has open, and opens it once that process is gone', async () => {
    const store = await EmbeddedStore.open(directory);
    const locked = promisify(execFile)('flock', ['--nonblock', join(directory, 'lock'), 'true']);
    await expect(locked).rejects.toMatchObject({ code: 1 });
    await store.close();
    await promisify(execFile)('flock', ['--nonblock', join(directory, 'lock'), 'true']);
  });

  it('makes the directory', async () => {
    const store = await EmbeddedStore.open(join(directory, 'a', 'b'));
    await store.close();
  });

  it('can be closed twice', async () => {
    const store = await EmbeddedStore.open(directory);
    await store.close();
    await store.close();
  });
});

describe('history', () => {
  it('keeps as many revisions as it was told', async () => {
    const store = await EmbeddedStore.open(directory, { historyRevisionsMax: 3 });
    const revisions: number[] = [];
    for (const value of ['1', '2', '3', '4', '5'])
      revisions.push((await store.txn([], [{ put: '/a', value }])).revision);
    const from = async (revision: number): Promise<number> => {
      for await (const batch of store.watch('/', revision)) return batch.revision;
      return 0;
    };
    expect(await from(revisions[2] as number)).toBe(revisions[2]);
    await expect(from(revisions[1] as number)).rejects.toMatchObject({ code: 'revision-compacted' });
    await store.close();
  });
});

describe('leases', () => {
  it('outlive a restart with their whole time, then end', async () => {
    const before = await EmbeddedStore.open(directory);
    const lease = await before.lease(1);
    const { revision } = await before.txn([], [{ put: '/a', value: '', lease: lease.id }]);
    await before.close();
    const after = await EmbeddedStore.open(directory);
    expect(await after.get('/a')).not.toBeNull();
    for await (const { events } of after.watch('/', revision + 1)) {
      expect(events).toEqual([{ kind: 'delete', key: '/a' }]);
      break;
    }
    await after.close();
  });
});
