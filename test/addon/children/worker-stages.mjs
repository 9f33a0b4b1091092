// A worker thread that brings the addon to one stage, says so, and then waits to be terminated or ends.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { parentPort } from 'node:worker_threads';
import { exportOf, newPlane, newReplica, openNew } from './native.mjs';

const [, , stage, directory] = process.argv;
mkdirSync(directory, { recursive: true });
const plane = newPlane();

const stages = {
  idle() {},

  async open() {
    const { name } = await openNew(plane, directory, 'volume');
    await plane.addExport(exportOf(name));
    await plane.listenUnix(join(directory, 'nbd.sock'));
  },

  async pending() {
    const { name } = await openNew(plane, directory, 'volume');
    for (let i = 0; i < 20; ++i) {
      void newReplica(plane, directory, `replica-${i}`);
      void plane.volumeInfo(name);
    }
  },

  async closing() {
    await openNew(plane, directory, 'volume');
    void plane.close();
  },

  async closed() {
    await openNew(plane, directory, 'volume');
    await plane.close();
  },

  async exit() {
    await openNew(plane, directory, 'volume');
    process.exit(0);
  },
};

await stages[stage]();
parentPort.postMessage('there');
if (stage !== 'closed') setInterval(() => {}, 1_000);
