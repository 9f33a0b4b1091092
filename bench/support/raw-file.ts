/** The physical limit: fio's own io_uring with direct I/O on the file that the peers serve. */
import type { Contestant, Target } from './contestant.js';
import { versionOf } from './command.js';
import { directTarget, sparseFile, writtenFile } from './image-file.js';

export const rawFile: Contestant = {
  name: 'raw file',
  mode: 'direct',
  caching: 'direct',
  role: 'limit',
  missing: () => null,
  version: () => versionOf('fio'),
  writtenVolume: async (ground) => targetOf(await writtenFile(ground), () => {}),
  thinVolume: async (ground, sizeBytes) => {
    const { path, remove } = sparseFile(ground, sizeBytes);
    return targetOf(path, remove);
  },
  close: async () => {},
};

function targetOf(path: string, remove: () => void): Target {
  return {
    fio: directTarget(path),
    pids: [],
    commandLine: 'none: fio --ioengine=io_uring --direct=1',
    files: () => [path],
    close: async () => remove(),
  };
}
