/** qemu-nbd on a raw image with O_DIRECT, by io_uring or by Linux native AIO. */
import type { Address } from './command.js';
import { imageServer } from './image-server.js';

export const qemuNbd = qemuNbdWith('io_uring');
export const qemuNbdNative = qemuNbdWith('native');

function qemuNbdWith(aio: 'io_uring' | 'native') {
  return imageServer({
    name: `qemu-nbd ${aio}`,
    caching: 'direct',
    command: 'qemu-nbd',
    package: 'qemu-utils',
    serve: (path, address) => [
      '--format=raw',
      '--cache=none',
      `--aio=${aio}`,
      '--discard=unmap',
      '--shared=16',
      '--persistent',
      ...listen(address),
      path,
    ],
  });
}

function listen(address: Address): string[] {
  return 'path' in address ? [`--socket=${address.path}`] : [`--bind=${address.host}`, `--port=${address.port}`];
}
