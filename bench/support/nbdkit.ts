/**
 * nbdkit with its file plugin. `cache=none` is not direct I/O: the plugin reads and writes through the page cache and then pushes
 * pages out of it. A read is pread and posix_fadvise(DONTNEED) of the same range; a write is pwrite and an asynchronous
 * sync_file_range, and once eight writes are in that window each further one first waits for the oldest to reach the disk
 * (seen with strace on nbdkit 1.32.5). The plugin has no mode with O_DIRECT.
 */
import type { Address } from './command.js';
import { imageServer } from './image-server.js';

export const nbdkit = imageServer({
  name: 'nbdkit cache=none',
  mode: 'direct',
  caching: 'page cache, evicted after use',
  command: 'nbdkit',
  package: 'nbdkit',
  serve: (path, address) => [...listen(address), 'file', path, 'cache=none'],
});

export const nbdkitPageCache = imageServer({
  name: 'nbdkit',
  mode: 'page cache',
  caching: 'page cache',
  command: 'nbdkit',
  package: 'nbdkit',
  serve: (path, address) => [...listen(address), 'file', path],
});

function listen(address: Address): string[] {
  const where =
    'path' in address ? ['--unix', address.path] : ['--ipaddr', address.host, '--port', String(address.port)];
  return ['--foreground', ...where];
}
