/** tgt with its two stores, over the file that all peers have. */
import { Tgt, type TgtStore } from '../../test/support/tgt.js';
import { pathOf } from '../../test/support/real-tools.js';
import { freePort, versionOf } from './command.js';
import type { CachingMode, Contestant, Ground, Target } from './contestant.js';
import { sparseFile, writtenFile } from './image-file.js';
import { whyNoIscsiLoad } from './iscsi-load.js';

export const tgtAio = tgtWith('aio', 'direct', 'direct');
export const tgtRdwr = tgtWith('rdwr', 'page cache', 'page cache');

function tgtWith(store: TgtStore, mode: CachingMode, caching: string): Contestant {
  let written: Promise<Target> | undefined;
  return {
    name: `tgt ${store}`,
    mode,
    caching,
    role: 'peer',
    missing: () => (isThere('tgtd') && isThere('tgtadm') ? whyNoIscsiLoad() : 'tgt is not installed (package tgt)'),
    version: async () => `tgt ${await versionOf('tgtadm')}`,
    ignoresFlush: store === 'aio',
    writtenVolume: (ground) => (written ??= writtenFile(ground).then((path) => serve(store, path, () => {}))),
    thinVolume: async (ground: Ground, sizeBytes) => {
      const { path, remove } = sparseFile(ground, sizeBytes);
      return serve(store, path, remove);
    },
    close: async () => {
      const target = await written?.catch(() => undefined);
      written = undefined;
      await target?.close();
    },
  };
}

function isThere(command: string): boolean {
  return pathOf(command) !== null;
}

async function serve(store: TgtStore, path: string, remove: () => void): Promise<Target> {
  const tgt = await Tgt.start(await freePort(), path, store);
  return {
    fio: [],
    iscsi: tgt.url,
    pids: [tgt.pid],
    commandLine: tgt.commandLine,
    files: () => [path],
    close: async () => {
      await tgt.close();
      remove();
    },
  };
}
