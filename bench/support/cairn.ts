/** Cairn itself: `cairn serve` in a directory of its own, volumes made and attached over REST as anybody would. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { RealCairn, whyNoCairn } from '../../test/support/real-cairn.js';
import { eventually } from '../../test/support/real-deadline.js';
import { RestError } from '../../test/support/real-rest.js';
import type { Contestant, Ground, Target } from './contestant.js';
import { fill } from './fio.js';
import { versionOf } from './command.js';

const deleteTimeoutMs = 300_000;

let running: Promise<RealCairn> | undefined;
let written: Promise<Target> | undefined;
let volumes = 0;

export const cairn: Contestant = {
  name: 'cairn',
  caching: 'direct',
  role: 'ours',
  missing: whyNoCairn,
  version: async () => `cairn ${await versionOf('git', ['describe', '--always', '--dirty'])}`,
  writtenVolume: (ground) => (written ??= writtenVolume(ground)),
  thinVolume,
  close: async () => {
    const cairnToClose = await running?.catch(() => undefined);
    running = undefined;
    written = undefined;
    await cairnToClose?.close();
  },
};

async function writtenVolume(ground: Ground): Promise<Target> {
  const target = await thinVolume(ground, ground.sizeBytes);
  await fill(ground.dataDirectory, target.fio, ground.sizeBytes);
  return target;
}

async function thinVolume(ground: Ground, sizeBytes: number): Promise<Target> {
  running ??= RealCairn.start({ parent: ground.dataDirectory });
  const service = await running;
  volumes += 1;
  const name = `bench-${volumes}`;
  await service.serveVolume(name, { size: sizeBytes });
  return {
    fio: ['--ioengine=nbd', `--uri=${service.uri(name, ground.transport)}`],
    pids: [service.servePid, ...service.dataPlanePids()],
    commandLine: 'cairn serve (default settings)',
    files: () => filesOf(join(service.pool, 'replicas')),
    close: () => remove(service, name),
  };
}

/** Unlinking a file of a hundred thousand extents takes the file system longer than the service waits for it. */
async function remove(service: RealCairn, name: string): Promise<void> {
  await service.deleteVolume(name).catch((error: unknown) => {
    if (!(error instanceof RestError && error.code === 'data-plane-timeout')) throw error;
  });
  const isGone = async () => (await service.rest.send('GET', `/v1/volumes/${name}`)).status === 404;
  await eventually(`${name} is deleted`, isGone, deleteTimeoutMs);
}

/** Every file of every replica. */
function filesOf(directory: string): string[] {
  if (!existsSync(directory)) return [];
  const entries = readdirSync(directory, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}
