/** Where the sockets of a node's processes are, and that they can be there. */
import { mkdirSync, chmodSync } from 'node:fs';
import { join } from 'node:path';
import { CairnError } from '../errors.js';

/** `sun_path` has 108 bytes, one of them for the final NUL (unix(7)). */
const socketPathBytesMax = 107;

/**
 * Ids of data-plane processes are file names: `node`, `front`, `volume-NAME`. No leading dot, so that a temporary
 * file is never taken for a process.
 */
const processIdPattern = /^[A-Za-z0-9_][A-Za-z0-9._-]*$/;
const socketSuffix = '.sock';

export class RunDirectory {
  constructor(readonly path: string) {}

  /** Makes the directories; only their owner may enter the one with the control sockets. */
  create(): void {
    mkdirSync(this.path, { recursive: true });
    mkdirSync(this.dataPlanes, { recursive: true, mode: 0o700 });
    chmodSync(this.dataPlanes, 0o700);
  }

  get dataPlanes(): string {
    return join(this.path, 'data-plane');
  }

  /** The gRPC socket of a process. */
  controlSocket(process: string): string {
    return this.checked(this.dataPlanes, `${checkedId(process)}${socketSuffix}`);
  }

  /** The socket on which a process takes connections over from the one that listens. */
  handoverSocket(process: string): string {
    return this.checked(this.dataPlanes, `${checkedId(process)}.handover`);
  }

  /** The same for connections of iSCSI initiators. */
  iscsiHandoverSocket(process: string): string {
    return this.checked(this.dataPlanes, `${checkedId(process)}.iscsi`);
  }

  get nbdSocket(): string {
    return this.checked(this.path, 'nbd.sock');
  }

  private checked(directory: string, name: string): string {
    const path = join(directory, name);
    const bytes = Buffer.byteLength(path);
    if (bytes <= socketPathBytesMax) return path;
    throw new CairnError(
      'invalid-config',
      `Socket path ${path} has ${bytes} bytes, and the kernel allows ${socketPathBytesMax}. ` +
        `Set runDirectory (CAIRN_RUN_DIRECTORY) to a path at least ${bytes - socketPathBytesMax} bytes shorter.`,
      { field: 'runDirectory' },
    );
  }
}

/** The process whose control socket has this file name; `undefined` for any other file. */
export function processOfSocket(fileName: string): string | undefined {
  if (!fileName.endsWith(socketSuffix)) return undefined;
  const process = fileName.slice(0, -socketSuffix.length);
  return processIdPattern.test(process) ? process : undefined;
}

function checkedId(process: string): string {
  if (processIdPattern.test(process)) return process;
  throw new CairnError('invalid-request', `${JSON.stringify(process)} cannot be the id of a data-plane process.`);
}
