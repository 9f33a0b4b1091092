/** nbd-server, the reference of the protocol's authors: a process for each connection, through the page cache. */
import { writeFileSync } from 'node:fs';
import { imageServer } from './image-server.js';
import { run } from './command.js';

export const nbdServer = imageServer({
  name: 'nbd-server',
  mode: 'page cache',
  caching: 'page cache',
  command: 'nbd-server',
  package: 'nbd-server',
  // It says so only when something is wrong with its arguments.
  version: async () => {
    const installed = await run('dpkg-query', ['-W', '-f', '${Version}', 'nbd-server']).catch(() => '');
    return `nbd-server ${installed}`.trim();
  },
  exportName: 'bench',
  pidFile,
  serve: (path, address) => {
    const config = `${path}.nbd-server`;
    const where =
      'path' in address ? [`unixsock = ${address.path}`] : [`listenaddr = ${address.host}`, `port = ${address.port}`];
    const exported = [`exportname = ${path}`, 'flush = true', 'fua = true', 'trim = true'];
    writeFileSync(config, `${['[generic]', ...where, '[bench]', ...exported].join('\n')}\n`);
    return ['-C', config, '-p', pidFile(path)];
  },
});

function pidFile(path: string): string {
  return `${path}.nbd-server.pid`;
}
