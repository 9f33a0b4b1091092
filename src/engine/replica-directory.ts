/** A replica's files as a whole: what they take, and removing them without ever removing anything else. */
import { readdir, rename, rm, rmdir, stat, truncate } from 'node:fs/promises';
import { basename, dirname, isAbsolute, join, normalize } from 'node:path';
import { CairnError } from '../errors.js';

/** Of st_blocks (stat(2)). */
const blockBytes = 512;
/** Giving a fragmented file back takes the file system seconds a GiB; between two pieces it does other work. */
const pieceBytesDefault = 2 ** 30;
/** Of a sparse file of many TiB, no more calls than these. */
const piecesMax = 4096;

interface ReplicaFile {
  path: string;
  sizeBytes: number;
  allocatedBytes: number;
  /** A clone's replica has it too. */
  isShared: boolean;
}

/** What the layers take on the disk; `null` where no replica can be read. */
export async function allocatedBytes(directory: string): Promise<number | null> {
  try {
    const files = await filesOf(directory);
    const layers = files.filter(({ path }) => basename(path).startsWith('layer-'));
    return layers.reduce((sum, file) => sum + file.allocatedBytes, 0);
  } catch {
    return null;
  }
}

/**
 * Removes `<pool>/replicas/<volume>/<replica>`, and the volume's directory when that was the last one. The rename comes
 * first, so that a crash leaves the whole replica or none that could be opened; a repeated call removes the remains.
 * `report` hears how much of the space is given back, from 0 to 1.
 */
export async function removeReplica(
  directory: string,
  report: (progress: number) => void = () => {},
  pieceBytes = pieceBytesDefault,
): Promise<void> {
  assertReplicaPath(directory);
  const doomed = `${directory}.deleted`;
  await ignoring(['ENOENT'], rename(directory, doomed));
  await ignoring(['ENOENT'], giveSpaceBack(doomed, report, pieceBytes));
  await rm(doomed, { recursive: true, force: true });
  await ignoring(['ENOENT', 'ENOTEMPTY', 'EEXIST'], rmdir(dirname(directory)));
}

/** Cuts large files down piece by piece. Those that are shared are a clone's data now, and only lose this name of theirs. */
async function giveSpaceBack(directory: string, report: (progress: number) => void, pieceBytes: number): Promise<void> {
  const large = (await filesOf(directory)).filter((file) => !file.isShared && file.allocatedBytes > pieceBytes);
  const total = large.reduce((sum, file) => sum + file.allocatedBytes, 0);
  let given = 0;
  for (const { path, sizeBytes, allocatedBytes: allocated } of large) {
    const step = Math.max(pieceBytes, Math.ceil(sizeBytes / piecesMax));
    for (let left = sizeBytes - step; left > 0; left -= step) {
      await truncate(path, left);
      report((given + (allocated * (sizeBytes - left)) / sizeBytes) / total);
    }
    given += allocated;
  }
}

async function filesOf(directory: string): Promise<ReplicaFile[]> {
  const names = await readdir(directory);
  return Promise.all(
    names.map(async (name) => {
      const path = join(directory, name);
      const { size, blocks, nlink } = await stat(path);
      return { path, sizeBytes: size, allocatedBytes: blocks * blockBytes, isShared: nlink > 1 };
    }),
  );
}

function assertReplicaPath(directory: string): void {
  const inReplicas = basename(dirname(dirname(directory))) === 'replicas';
  if (isAbsolute(directory) && normalize(directory) === directory && inReplicas) return;
  throw new CairnError(
    'invalid-request',
    `${directory} is not the path of a replica (<pool>/replicas/<volume>/<replica>).`,
    {
      field: 'directory',
    },
  );
}

async function ignoring(codes: readonly string[], operation: Promise<void>): Promise<void> {
  try {
    await operation;
  } catch (error) {
    if (!codes.includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
  }
}
