/** qemu-nbd: on a raw image with O_DIRECT, by io_uring or by Linux native AIO; write-through; and on qcow2, also with snapshots. */
import { existsSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run, type Address } from './command.js';
import type { CachingMode, Ground } from './contestant.js';
import { sparseFile, writtenFile, type ImageFormat } from './image-file.js';
import { imageServer } from './image-server.js';

interface Flavour {
  name: string;
  mode: CachingMode;
  format: 'raw' | 'qcow2' | 'luks';
  arguments: string[];
  images?: ImageFormat;
  snapshotImages?: (snapshots: number) => ImageFormat;
}

const direct = ['--cache=none', '--discard=unmap'];

export const qemuNbd = qemuNbdWith({
  name: 'qemu-nbd io_uring',
  mode: 'direct',
  format: 'raw',
  arguments: [...direct, '--aio=io_uring'],
});

export const qemuNbdNative = qemuNbdWith({
  name: 'qemu-nbd native',
  mode: 'direct',
  format: 'raw',
  arguments: [...direct, '--aio=native'],
});

export const qemuNbdWritethrough = qemuNbdWith({
  name: 'qemu-nbd writethrough',
  mode: 'write-through',
  format: 'raw',
  arguments: ['--cache=writethrough', '--discard=unmap'],
});

export const qemuNbdQcow2 = qemuNbdWith({
  name: 'qemu-nbd qcow2',
  mode: 'direct',
  format: 'qcow2',
  arguments: [...direct, '--aio=io_uring'],
  images: qcow2Images(0),
  snapshotImages: qcow2Images,
});

/** Its passphrase is no secret here. */
const luksSecret = ['--object', 'secret,id=passphrase,data=bench'];
/** Of the LUKS1 header, the only one that qemu knows. */
const luksHeaderBytes = 2 ** 21;

export const qemuNbdLuks = qemuNbdWith({
  name: 'qemu-nbd luks',
  mode: 'direct',
  format: 'luks',
  arguments: [...luksSecret, ...direct, '--aio=io_uring'],
  images: {
    written: writtenLuks,
    thin: () => Promise.reject(new Error('LUKS images are measured written')),
  },
});

function qemuNbdWith({ name, mode, format, arguments: more, images, snapshotImages }: Flavour) {
  const isLuks = format === 'luks';
  return imageServer({
    name,
    mode,
    caching: mode === 'direct' ? 'direct' : 'page cache, written through',
    command: 'qemu-nbd',
    package: 'qemu-utils',
    serve: (path, address) => {
      const image = isLuks ? ['--image-opts', luksOptions(path)] : [`--format=${format}`, path];
      return [...more, '--shared=16', '--persistent', ...listen(address), ...image];
    },
    ...(images && { images }),
    ...(snapshotImages && { snapshotImages }),
  });
}

/** Formatted by cryptsetup: qemu's own measuring of how many iterations to take fails on a machine that is fast. */
async function writtenLuks(ground: Ground): Promise<string> {
  const path = join(ground.dataDirectory, 'written.luks');
  if (existsSync(path)) return path;
  const key = `${path}.key`;
  writeFileSync(key, 'bench');
  writeFileSync(path, '');
  truncateSync(path, ground.sizeBytes + luksHeaderBytes);
  const cipher = ['--cipher', 'aes-xts-plain64', '--key-size', '512', '--pbkdf-force-iterations', '1000'];
  await run('cryptsetup', ['luksFormat', '--batch-mode', '--type', 'luks1', ...cipher, '--key-file', key, path]);
  const quick = ['-W', '-m', '16', '-t', 'none', '-T', 'none'];
  await run('qemu-img', [
    'convert',
    '-U',
    ...luksSecret,
    ...quick,
    '-f',
    'raw',
    '-n',
    '--target-image-opts',
    await writtenFile(ground),
    luksOptions(path),
  ]);
  return path;
}

function luksOptions(path: string): string {
  return `driver=luks,key-secret=passphrase,file.driver=file,file.filename=${path}`;
}

function listen(address: Address): string[] {
  return 'path' in address ? [`--socket=${address.path}`] : [`--bind=${address.host}`, `--port=${address.port}`];
}

/** It refuses 2 GiB at once. */
const qemuIoBytesMax = 2 ** 30;

/** With internal snapshots, between which a share of the blocks is written anew. */
function qcow2Images(snapshots: number): ImageFormat {
  return {
    written: async (ground) => {
      const path = join(ground.dataDirectory, `written-${snapshots}.qcow2`);
      if (existsSync(path)) return path;
      await run('qemu-img', [
        'convert',
        '-U',
        '-t',
        'none',
        '-T',
        'none',
        '-O',
        'qcow2',
        await writtenFile(ground),
        path,
      ]);
      for (let number = 1; number <= snapshots; number += 1) await snapshot(ground, path, number, snapshots);
      return path;
    },
    thin: async (ground, sizeBytes) => {
      const { path, remove } = sparseFile(ground, 0);
      await run('qemu-img', ['create', '-q', '-f', 'qcow2', path, String(sizeBytes)]);
      return { path, remove };
    },
  };
}

async function snapshot(ground: Ground, path: string, number: number, of: number): Promise<void> {
  await run('qemu-img', ['snapshot', '-c', `s${number}`, path]);
  const share = Math.floor(ground.sizeBytes / of / 65536);
  const first = (number - 1) * share * 65536;
  const end = first + share * 65536;
  const commands: string[] = [];
  for (let from = first; from < end; from += qemuIoBytesMax)
    commands.push('-c', `write -q -P ${number} ${from} ${Math.min(qemuIoBytesMax, end - from)}`);
  await run('qemu-io', ['-n', '-f', 'qcow2', ...commands, path]);
}
