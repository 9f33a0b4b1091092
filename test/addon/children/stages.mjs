// node stages.mjs STAGE DIRECTORY: brings the addon to one stage of its life, and ends there. Exit code 0 and nothing on
// stderr is the test.
import { spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { check, codeOf, exportOf, native, newPlane, newReplica, openNew } from './native.mjs';

const [, , stage, directory] = process.argv;
const workerStages = new URL('./worker-stages.mjs', import.meta.url);

/** Calls of every method, none of them awaited. */
function callEverything(plane, volume) {
  const snapshot = randomUUID();
  return [
    newReplica(plane, directory, randomUUID()),
    plane.openVolume({ ...volume, name: 'another' }),
    plane.volumeInfo(volume.name),
    plane.createSnapshot(volume.name, snapshot, 'taken'),
    plane.deleteSnapshot(volume.name, snapshot),
    plane.revertSnapshot(volume.name, snapshot),
    plane.addExport(exportOf(volume.name)),
    plane.listenTcp('127.0.0.1', 0),
    plane.listenUnix(join(directory, 'nbd.sock')),
    plane.listenHandover(join(directory, 'handover.sock')),
    plane.removeExport(volume.name, true),
    plane.closeVolume(volume.name),
  ];
}

/** Does what ends with an event. */
async function mergeIn(plane) {
  const { name } = await openNew(plane, directory, 'volume');
  const snapshot = randomUUID();
  await plane.createSnapshot(name, snapshot, 'taken');
  await plane.deleteSnapshot(name, snapshot);
}

async function allRefused(calls) {
  for (const code of await Promise.all(calls.map(codeOf))) check(code === 'CLOSED', `refused as CLOSED: ${code}`);
}

function attempt(start) {
  try {
    return { plane: start() };
  } catch (error) {
    return { error };
  }
}

/** An event alone does not keep a process alive. */
async function stayingAlive(promise) {
  const timer = setInterval(() => {}, 1_000);
  await promise;
  clearInterval(timer);
}

const stages = {
  loaded() {
    check(native.probe().ioUring === true, 'io_uring is there');
  },

  /** With as many threads more than it has as the word after the directory says. */
  async 'few threads more'() {
    await stat(directory); // libuv's, which cannot do without
    const threads = readdirSync('/proc/self/task').length + Number(process.argv[4]);
    const { status } = spawnSync('prlimit', ['--pid', String(process.pid), `--nproc=${threads}:`]);
    check(status === 0, 'the limit is set');
    process.setuid('nobody'); // limits do not bind root
    const { plane, error } = attempt(newPlane);
    if (plane !== undefined) {
      check((await codeOf(plane.volumeInfo('none'))) === 'VOLUME_NOT_OPEN', 'the plane works');
      await plane.close();
    } else {
      check(error.code === 'EAGAIN' && error.message.includes('TasksMax'), `no thread: ${error.message}`);
    }
    console.log(plane === undefined ? 'refused' : 'started');
  },

  unclosed() {
    newPlane();
  },

  async 'unclosed with an open volume'() {
    await openNew(newPlane(), directory, 'volume');
  },

  /** Serves DIRECTORY/volume at DIRECTORY/nbd.sock and handover.sock until standard input ends. */
  async 'served until told'() {
    const plane = newPlane();
    await openNew(plane, directory, 'volume');
    await plane.addExport(exportOf('volume'));
    await plane.listenUnix(join(directory, 'nbd.sock'));
    await plane.listenHandover(join(directory, 'handover.sock'));
    process.stdout.write('serving\n');
    process.stdin.once('end', () => process.exit()).resume();
  },

  async closed() {
    const plane = newPlane();
    await openNew(plane, directory, 'volume');
    await plane.close();
  },

  async 'closed twice'() {
    const plane = newPlane();
    await openNew(plane, directory, 'volume');
    const [first, second] = await Promise.all([codeOf(plane.close()), codeOf(plane.close())]);
    check(first === 'resolved' && second === 'CLOSED', `${first}, ${second}`);
    check((await codeOf(plane.close())) === 'CLOSED', 'a third close is refused');
  },

  async 'called after close'() {
    const plane = newPlane();
    const volume = await openNew(plane, directory, 'volume');
    await plane.close();
    await allRefused(callEverything(plane, volume));
  },

  async 'called while closing'() {
    const plane = newPlane();
    const volume = await openNew(plane, directory, 'volume');
    const closing = plane.close();
    await allRefused(callEverything(plane, volume));
    await closing;
  },

  async 'closed with operations under way'() {
    const plane = newPlane();
    const volume = await openNew(plane, directory, 'volume');
    const other = await newReplica(plane, directory, 'other');
    const calls = [plane.openVolume(other), ...callEverything(plane, volume)];
    const closing = plane.close();
    await Promise.allSettled(calls);
    await closing;
    const again = newPlane();
    for (const each of [volume, other]) {
      const { recovered } = await again.openVolume(each);
      check(recovered === false, `${each.name} was closed cleanly`);
    }
    await again.close();
  },

  async 'exit with operations under way'() {
    const plane = newPlane();
    const volume = await openNew(plane, directory, 'volume');
    for (const call of callEverything(plane, volume)) call.catch(() => {});
    process.exit(0);
  },

  async 'exit while closing'() {
    const plane = newPlane();
    await openNew(plane, directory, 'volume');
    void plane.close();
    process.exit(0);
  },

  /** What is pending keeps the process alive until it is done. */
  async 'end with a close under way'() {
    const plane = newPlane();
    await openNew(plane, directory, 'volume');
    void plane.close().then(() => process.stdout.write('closed\n'));
  },

  async 'several planes'() {
    const planes = [newPlane(), newPlane(), newPlane()];
    const volumes = await Promise.all(planes.map((plane, i) => openNew(plane, directory, `volume-${i}`)));
    check((await codeOf(planes[0].openVolume(volumes[1]))) === 'VOLUME_LOCKED', 'one opener at a time');
    await planes[1].close();
    await planes[0].openVolume(volumes[1]);
    await Promise.all([planes[0].close(), planes[2].close()]);
  },

  async 'unreachable while open'() {
    const collected = new Set();
    const registry = new FinalizationRegistry((which) => collected.add(which));
    await (async () => {
      const open = newPlane();
      const closed = newPlane();
      registry.register(open, 'open');
      registry.register(closed, 'closed');
      await openNew(open, directory, 'volume');
      await open.addExport(exportOf('volume'));
      await open.listenUnix(join(directory, 'nbd.sock'));
      await closed.close();
    })();
    while (!collected.has('closed')) {
      await new Promise((resolve) => setImmediate(resolve));
      globalThis.gc();
    }
    check(!collected.has('open'), 'one that serves is kept');
    process.stdout.write('serving\n');
    process.stdin.once('end', () => process.exit()).resume();
  },

  async 'event handler that throws'() {
    const thrown = new Error('thrown by the event handler');
    const caught = new Promise((resolve) => process.once('uncaughtException', resolve));
    const plane = newPlane(() => {
      throw thrown;
    });
    await mergeIn(plane);
    await stayingAlive(caught);
    check((await caught) === thrown, 'it is the uncaught exception');
    await plane.close();
  },

  async 'event handler that closes'() {
    const closed = new Promise((resolve) => {
      const plane = newPlane(() => resolve(plane.close()));
      void mergeIn(plane);
    });
    await stayingAlive(closed);
  },

  async 'worker that is terminated'() {
    for (const what of ['idle', 'open', 'pending', 'closing']) {
      const worker = new Worker(workerStages, { argv: [what, join(directory, what)] });
      await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
      await worker.terminate();
    }
    check(native.probe().ioUring === true, 'the addon is still loaded');
  },

  async 'worker that ends by itself'() {
    for (const what of ['closed', 'exit']) {
      const worker = new Worker(workerStages, { argv: [what, join(directory, what)] });
      const code = await new Promise((resolve, reject) => worker.once('exit', resolve).once('error', reject));
      check(code === 0, `the worker ends well: ${code}`);
    }
  },

  async 'cycles of volumes'() {
    const plane = newPlane();
    await flatOver(150, async (cycle) => {
      const volume = await openNew(plane, directory, `volume-${cycle}`);
      const snapshot = randomUUID();
      await plane.createSnapshot(volume.name, snapshot, 'taken');
      await plane.addExport(exportOf(volume.name));
      await plane.removeExport(volume.name, false);
      await plane.closeVolume(volume.name);
      rmSync(volume.directory, { recursive: true });
    });
    await plane.close();
  },

  async 'cycles of planes'() {
    await flatOver(40, async (cycle) => {
      const plane = newPlane();
      await openNew(plane, directory, `volume-${cycle}`);
      await plane.listenTcp('127.0.0.1', 0);
      await plane.close();
    });
  },
};

/** Memory, descriptors and threads after `cycles` are those after the first tenth. */
async function flatOver(cycles, cycle) {
  const warm = cycles / 10;
  let before;
  for (let i = 0; i < warm + cycles; ++i) {
    if (i === warm) before = resources();
    await cycle(i);
  }
  const after = resources();
  const says = JSON.stringify({ before, after });
  check(after.threads === before.threads, `as many threads as before: ${says}`);
  check(after.descriptors === before.descriptors, `as many descriptors: ${says}`);
  check(after.residentBytes < before.residentBytes + residentGrowthBytesMax, `memory stays flat: ${says}`);
}

const residentGrowthBytesMax = 24 * 1024 * 1024;

function resources() {
  globalThis.gc();
  return {
    threads: readdirSync('/proc/self/task').length,
    descriptors: readdirSync('/proc/self/fd').length,
    residentBytes: Number(/VmRSS:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1]) * 1024,
  };
}

mkdirSync(directory, { recursive: true });
await stages[stage]();
