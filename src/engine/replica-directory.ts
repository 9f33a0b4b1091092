/** Removing a replica's files, without ever removing anything else. */
import { rename, rm, rmdir } from 'node:fs/promises';
import { basename, dirname, isAbsolute, normalize } from 'node:path';
import { CairnError } from '../errors.js';

/**
 * Removes `<pool>/replicas/<volume>/<replica>`, and the volume's directory when that was the last one. The rename comes
 * first, so that a crash leaves the whole replica or none that could be opened; a repeated call removes the remains.
 */
export async function removeReplica(directory: string): Promise<void> {
  assertReplicaPath(directory);
  const doomed = `${directory}.deleted`;
  await ignoring(['ENOENT'], rename(directory, doomed));
  await rm(doomed, { recursive: true, force: true });
  await ignoring(['ENOENT', 'ENOTEMPTY', 'EEXIST'], rmdir(dirname(directory)));
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
