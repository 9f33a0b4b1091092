/** A peer that serves one image file as one export: all of nbdkit and qemu-nbd that differs is its command line. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { freePort, isInstalled, Server, versionOf, type Address } from './command.js';
import type { Contestant, Ground, Target } from './contestant.js';
import { sparseFile, writtenFile } from './image-file.js';

export interface ImageServer {
  name: string;
  caching: string;
  command: string;
  /** Debian's package of the command. */
  package: string;
  serve: (path: string, address: Address) => string[];
}

export function imageServer(server: ImageServer): Contestant {
  let written: Promise<Target> | undefined;
  return {
    name: server.name,
    caching: server.caching,
    role: 'peer',
    missing: () =>
      isInstalled(server.command) ? null : `${server.command} is not installed (package ${server.package})`,
    version: () => versionOf(server.command),
    writtenVolume: (ground) => (written ??= writtenFile(ground).then((path) => start(server, ground, path, () => {}))),
    thinVolume: (ground, sizeBytes) => {
      const { path, remove } = sparseFile(ground, sizeBytes);
      return start(server, ground, path, remove);
    },
    close: async () => {
      const target = await written?.catch(() => undefined);
      written = undefined;
      await target?.close();
    },
  };
}

let sockets = 0;

async function start(server: ImageServer, ground: Ground, path: string, removeImage: () => void): Promise<Target> {
  const address = await chooseAddress(ground);
  const args = server.serve(path, address);
  try {
    const process = await Server.start(server.command, args, address);
    return {
      fio: ['--ioengine=nbd', `--uri=${uriOf(address)}`],
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

function uriOf(address: Address): string {
  return 'path' in address ? `nbd+unix:///?socket=${address.path}` : `nbd://${address.host}:${address.port}/`;
}
