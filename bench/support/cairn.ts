/** Cairn itself: `cairn serve` in a directory of its own, volumes made and attached over REST as anybody would. */
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { RealCairn, whyNoCairn } from '../../test/support/real-cairn.js';
import { eventually } from '../../test/support/real-deadline.js';
import { RestError } from '../../test/support/real-rest.js';
import type { CacheMode } from '../../src/engine/native.js';
import type { CachingMode, Contestant, Ground, Target, Transport } from './contestant.js';
import { fill, rewriteShare } from './fio.js';
import { fillOverIscsi, whyNoIscsiLoad } from './iscsi-load.js';
import { versionOf } from './command.js';

const deleteTimeoutMs = 300_000;
const keyName = 'bench';

let running: Promise<RealCairn> | undefined;
let volumes = 0;
let snapshotsTaken = 0;

const direct = { cacheMode: 'none', mode: 'direct', caching: 'direct' } as const;
const writeback = { cacheMode: 'writeback', mode: 'page cache', caching: 'page cache' } as const;

export const cairn = cairnWith({ name: 'cairn', ...direct });
export const cairnEncrypted = cairnWith({ name: 'cairn encrypted', ...direct, encryption: { key: keyName } });
export const cairnWriteback = cairnWith({ name: 'cairn writeback', ...writeback });
export const cairnWritethrough = cairnWith({
  name: 'cairn writethrough',
  cacheMode: 'writethrough',
  mode: 'write-through',
  caching: 'page cache, written through',
});
export const cairnIscsi = cairnWith({ name: 'cairn iscsi', ...direct, frontend: 'iscsi' });
/** As tgt's rdwr store does it. */
export const cairnIscsiWriteback = cairnWith({ name: 'cairn iscsi writeback', ...writeback, frontend: 'iscsi' });
/** By TCP whatever the others use, as iSCSI does. */
export const cairnNbdTcp = cairnWith({ name: 'cairn nbd tcp', ...direct, transport: 'tcp' });

interface Flavour extends Omit<Served, 'size'> {
  name: string;
  mode: CachingMode;
  caching: string;
}

/** One service for all. */
function cairnWith({ name, mode, caching, ...served }: Flavour): Contestant {
  const written = new Map<number, Promise<Target>>(); // by the number of snapshots
  const thinVolume = (ground: Ground, sizeBytes: number) => serve(ground, { size: sizeBytes, ...served });
  const writtenVolume = (ground: Ground, snapshots: number): Promise<Target> => {
    const made =
      written.get(snapshots) ?? thinVolume(ground, ground.sizeBytes).then((target) => write(ground, target, snapshots));
    written.set(snapshots, made);
    return made;
  };
  return {
    name,
    mode,
    caching,
    role: 'ours',
    missing: () => whyNoCairn() ?? (served.frontend === 'iscsi' ? whyNoIscsiLoad() : null),
    version: async () => `cairn ${await versionOf('git', ['describe', '--always', '--dirty'])}`,
    writtenVolume: (ground) => writtenVolume(ground, 0),
    thinVolume,
    takesSnapshots: true,
    snapshotVolume: writtenVolume,
    close: async () => {
      written.clear();
      await endService();
    },
  };
}

/** Every block, and between the snapshots a share of them anew, so that each of them holds some of what is read. */
async function write(ground: Ground, target: Target, snapshots: number): Promise<Target> {
  const { dataDirectory, sizeBytes } = ground;
  if (target.iscsi !== undefined) await fillOverIscsi(dataDirectory, target.iscsi);
  else await fill(dataDirectory, target.fio, sizeBytes);
  for (let number = 0; number < snapshots; number += 1) {
    await target.snapshot?.();
    await rewriteShare(dataDirectory, target.fio, { sizeBytes, number, of: snapshots });
  }
  return target;
}

async function takeSnapshot(service: RealCairn, volume: string): Promise<() => Promise<void>> {
  snapshotsTaken += 1;
  const name = `s${snapshotsTaken}`;
  await service.createSnapshot(volume, name);
  return async () => {
    await service.rest.call('DELETE', `/v1/volumes/${volume}/snapshots/${name}`);
    const isMerged = async () => !(await service.snapshots(volume)).some((each) => each.name === name);
    await eventually(`snapshot ${name} is merged`, isMerged, deleteTimeoutMs);
  };
}

async function endService(): Promise<void> {
  const service = await running?.catch(() => undefined);
  running = undefined;
  await service?.close();
}

interface Served {
  size: number;
  cacheMode: CacheMode;
  encryption?: { key: string };
  /** NBD by default. */
  frontend?: 'iscsi';
  /** Of NBD; the ground's by default. */
  transport?: Transport;
}

/** With a passphrase for encrypted volumes. */
async function startService({ dataDirectory }: Ground): Promise<RealCairn> {
  const keys = join(dataDirectory, 'keys');
  mkdirSync(keys, { mode: 0o700 });
  writeFileSync(join(keys, keyName), 'bench', { mode: 0o600 });
  return RealCairn.start({ parent: dataDirectory, environment: { CAIRN_KEYS_DIRECTORY: keys } });
}

function settingsOf({ cacheMode, encryption, frontend }: Served): string {
  const others = [
    ...(cacheMode === 'none' ? [] : [`cacheMode: ${cacheMode}`]),
    ...(encryption ? ['--encrypt'] : []),
    ...(frontend ? [`--frontend ${frontend}`] : []),
  ];
  return ['default settings', ...others].join('; ');
}

async function serve(ground: Ground, request: Served): Promise<Target> {
  running ??= startService(ground);
  const service = await running;
  volumes += 1;
  const name = `bench-${volumes}`;
  const { frontend, transport = ground.transport, ...volume } = request;
  await service.createVolume(name, volume);
  await service.attach(name, frontend ?? 'nbd');
  return {
    fio: frontend === 'iscsi' ? [] : ['--ioengine=nbd', `--uri=${service.uri(name, transport)}`],
    ...(frontend === 'iscsi' && { iscsi: service.iscsiUri(name) }),
    pids: [service.servePid, ...service.dataPlanePids()],
    commandLine: `cairn serve (${settingsOf(request)})`,
    files: () => filesOf(join(service.pool, 'replicas')),
    snapshot: () => takeSnapshot(service, name),
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
