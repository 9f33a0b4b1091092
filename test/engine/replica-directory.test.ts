/** What a replica takes, and how its files go. */
import {
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { allocatedBytes, removeReplica } from '../../src/engine/replica-directory.js';
import { ReplicaRemovals } from '../../src/engine/replica-removals.js';

const pieceBytes = 64 * 1024;
const largeBytes = 16 * pieceBytes;

let top: string;
let directory: string;
beforeEach(() => {
  top = mkdtempSync(join(tmpdir(), 'cairn-replica-'));
  directory = join(top, 'replicas', 'volume', 'replica');
  mkdirSync(directory, { recursive: true });
});
afterEach(() => rmSync(top, { recursive: true, force: true }));

describe('what the layers take', () => {
  it('is what the disk gave them, not their length', async () => {
    writeFileSync(join(directory, 'layer-0.data'), Buffer.alloc(8192, 1));
    truncateSync(join(directory, 'layer-0.data'), 2 ** 30);
    writeFileSync(join(directory, 'volume.json'), Buffer.alloc(65_536, 1));
    expect(await allocatedBytes(directory)).toBe(8192);
  });

  it('is unknown where there is no replica', async () => {
    expect(await allocatedBytes(join(directory, 'nowhere'))).toBeNull();
  });
});

describe('removing a replica', () => {
  it('leaves nothing, and nothing of its volume', async () => {
    writeFileSync(join(directory, 'layer-0.data'), 'data');
    await removeReplica(directory);
    expect(existsSync(join(top, 'replicas', 'volume'))).toBe(false);
    await removeReplica(directory);
  });

  it('goes on with what an earlier attempt left', async () => {
    mkdirSync(`${directory}.deleted`);
    writeFileSync(join(`${directory}.deleted`, 'layer-0.data'), 'data');
    rmSync(directory, { recursive: true });
    await removeReplica(directory);
    expect(existsSync(join(top, 'replicas', 'volume'))).toBe(false);
  });

  it("never touches the data of a clone's that it shares", async () => {
    const clone = join(top, 'clone.data');
    writeFileSync(join(directory, 'layer-0.data'), Buffer.alloc(largeBytes, 1));
    linkSync(join(directory, 'layer-0.data'), clone);
    await removeReplica(directory, undefined, pieceBytes);
    expect(readFileSync(clone).length).toBe(largeBytes);
  });

  it('gives the space of large files back piece by piece, and says how far it is', async () => {
    writeFileSync(join(directory, 'layer-0.data'), Buffer.alloc(largeBytes, 1));
    truncateSync(join(directory, 'layer-0.data'), 64 * largeBytes);
    const progress: number[] = [];
    await removeReplica(directory, (now) => progress.push(now), pieceBytes);
    expect(progress.length).toBeGreaterThan(10);
    expect(progress).toEqual(progress.toSorted((one, other) => one - other));
    expect(progress.every((each) => each > 0 && each <= 1)).toBe(true);
  });

  it.each(['/', '/replicas', '/pool/replicas/volume', 'replicas/volume/replica', '/pool/replicas/volume/../../x'])(
    'refuses %s, which is none',
    async (path) => {
      await expect(removeReplica(path)).rejects.toMatchObject({ code: 'invalid-request' });
    },
  );
});

describe('removals that take long', () => {
  it('are begun once, looked at often, and over once', async () => {
    let finish = (): void => {};
    let begun = 0;
    const removals = new ReplicaRemovals((_directory, report) => {
      begun += 1;
      report(0.5);
      return new Promise((resolve) => (finish = resolve));
    }, 1);
    expect(await removals.remove('/r')).toEqual({ finished: false, progress: 0.5 });
    expect(await removals.remove('/r')).toEqual({ finished: false, progress: 0.5 });
    expect(begun).toBe(1);
    const last = removals.remove('/r');
    finish();
    expect(await last).toEqual({ finished: true, progress: 1 });
  });

  it('that fail say so and can be begun again', async () => {
    const failures = [new Error('EIO')];
    const removals = new ReplicaRemovals(async () => {
      const failure = failures.pop();
      if (failure) throw failure;
    });
    await expect(removals.remove('/r')).rejects.toThrow('EIO');
    expect(await removals.remove('/r')).toEqual({ finished: true, progress: 1 });
  });
});
