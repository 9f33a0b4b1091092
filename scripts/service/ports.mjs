// Whether the ports are free, told before anything starts: a service's own message would be in its log.
import { existsSync, readdirSync } from 'node:fs';
import { createConnection, createServer } from 'node:net';
import { join } from 'node:path';
import { SetupFailed } from '../setup/steps.mjs';

const host = '127.0.0.1';

/** Throws `SetupFailed` naming the port that is taken and the variable that chooses another. */
export async function requireFreePorts(settings) {
  if (!(await isFree(Number(settings.CAIRN_REST_PORT))))
    throw taken('REST', 'CAIRN_REST_PORT', settings.CAIRN_REST_PORT);
  if (await isFree(Number(settings.CAIRN_NBD_PORT))) return;
  // A data-plane process that outlived its service holds the port rightly: the new service finds it again.
  if (await dataPlaneRuns(settings.CAIRN_RUN_DIRECTORY)) return;
  throw taken('NBD', 'CAIRN_NBD_PORT', settings.CAIRN_NBD_PORT);
}

function taken(what, variable, port) {
  const another = Number(port) + 100;
  return new SetupFailed(
    `Port ${port} (${what}) is taken: another program listens there, perhaps another \`npm start\`.\n` +
      `End it, or choose another port:\n\n  ${variable}=${another} npm start`,
  );
}

function isFree(port) {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ host, port }, () => server.close(() => resolve(true)));
  });
}

async function dataPlaneRuns(runDirectory) {
  const folder = join(runDirectory, 'data-plane');
  const sockets = existsSync(folder) ? readdirSync(folder).filter((name) => name.endsWith('.sock')) : [];
  const answers = await Promise.all(sockets.map((name) => accepts(join(folder, name))));
  return answers.includes(true);
}

function accepts(path) {
  return new Promise((resolve) => {
    const socket = createConnection(path);
    socket.once('error', () => resolve(false));
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
  });
}
