// Where `npm start` keeps things and listens, as the service's own CAIRN_... variables.
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A unix socket's path is at most 107 bytes, and up to this many of them come after the run directory. */
const socketNameBytesMax = 60;
const socketPathBytesMax = 107;

/** The variables the service is started with; what the caller's environment says wins. */
export function serviceSettings(root, environment) {
  const dataDirectory = environment.CAIRN_DATA_DIRECTORY ?? join(root, '.cairn');
  return {
    CAIRN_DATA_DIRECTORY: dataDirectory,
    CAIRN_RUN_DIRECTORY: environment.CAIRN_RUN_DIRECTORY ?? runDirectoryFor(dataDirectory, environment),
    CAIRN_REST_PORT: environment.CAIRN_REST_PORT ?? '9420',
    CAIRN_NBD_PORT: environment.CAIRN_NBD_PORT ?? '10809',
  };
}

/** Beneath the data directory when sockets fit there, else in a short place that is the same at every start. */
export function runDirectoryFor(dataDirectory, environment, temporary = tmpdir()) {
  const beside = join(dataDirectory, 'run');
  if (Buffer.byteLength(beside) + socketNameBytesMax <= socketPathBytesMax) return beside;
  return join(environment.XDG_RUNTIME_DIR ?? temporary, `cairn-${shortHash(dataDirectory)}`);
}

/** FNV-1a: two clones of the repository on one machine must not share sockets. */
function shortHash(text) {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(text)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return hash.toString(16).padStart(8, '0');
}
