/** A peer that serves one image file as one export: all of nbdkit and qemu-nbd that differs is its command line. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { freePort, isInstalled, Server, startDaemon, versionOf, type Address } from './command.js';
import type { CachingMode, Contestant, Ground, Target } from './contestant.js';
import { rawImages, type ImageFormat } from './image-file.js';

export interface ImageServer {
  name: string;
  mode: CachingMode;
  caching: string;
  command: string;
  /** Debian's package of the command. */
  package: string;
  serve: (path: string, address: Address) => string[];
  exportName?: string;
  /** Where the process id is, of one that puts itself into the background. */
  pidFile?: (path: string) => string;
  /** What the command says of its version; by default, when asked with `--version`. */
  version?: () => Promise<string>;
  /** How images are made; raw files by default. */
  images?: ImageFormat;
  /** How images with snapshots are made, where there are any. */
  snapshotImages?: (snapshots: number) => ImageFormat;
}

export function imageServer(server: ImageServer): Contestant {
  const images = server.images ?? rawImages;
  const served = new Map<number, Promise<Target>>(); // by the number of snapshots
  const serve = (ground: Ground, snapshots: number): Promise<Target> => {
    const format = snapshots === 0 ? images : (server.snapshotImages?.(snapshots) ?? images);
    const target =
      served.get(snapshots) ?? format.written(ground).then((path) => start(server, ground, path, () => {}));
    served.set(snapshots, target);
    return target;
  };
  return {
    name: server.name,
    mode: server.mode,
    caching: server.caching,
    role: 'peer',
    missing: () =>
      isInstalled(server.command) ? null : `${server.command} is not installed (package ${server.package})`,
    version: server.version ?? (() => versionOf(server.command)),
    writtenVolume: (ground) => serve(ground, 0),
    ...(server.snapshotImages && { snapshotVolume: serve }),
    thinVolume: async (ground, sizeBytes) => {
      const { path, remove } = await images.thin(ground, sizeBytes);
      return start(server, ground, path, remove);
    },
    close: async () => {
      const targets = await Promise.allSettled(served.values());
      served.clear();
      for (const target of targets) if (target.status === 'fulfilled') await target.value.close();
    },
  };
}

let sockets = 0;

async function start(server: ImageServer, ground: Ground, path: string, removeImage: () => void): Promise<Target> {
  const address = await chooseAddress(ground);
  const args = server.serve(path, address);
  try {
    const pidFile = server.pidFile?.(path);
    const process = await (pidFile === undefined
      ? Server.start(server.command, args, address)
      : startDaemon(server.command, args, { address, pidFile }));
    return {
      fio: ['--ioengine=nbd', `--uri=${uriOf(address, server.exportName ?? '')}`],
      pids: [process.pid],
      commandLine: [server.command, ...args].join(' '),
      files: () => [path],
      close: async () => {
        await process.stop();
        if ('path' in address) rmSync(address.path, { force: true });
        removeImage();
      },
    };
  } catch (error) {
    removeImage();
    throw error;
  }
}

async function chooseAddress({ transport, socketDirectory }: Ground): Promise<Address> {
  if (transport === 'tcp') return { host: '127.0.0.1', port: await freePort() };
  sockets += 1;
  return { path: join(socketDirectory, `peer-${sockets}.sock`) };
}

function uriOf(address: Address, name: string): string {
  return 'path' in address
    ? `nbd+unix:///${name}?socket=${address.path}`
    : `nbd://${address.host}:${address.port}/${name}`;
}
