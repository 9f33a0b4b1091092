/** The directories of this node in which replicas live: those of the configuration, and those that were added. */
import { mkdir, stat, statfs } from 'node:fs/promises';
import type { Pool } from '../api/node-schemas.js';
import type { PoolDevices } from '../engine/pool-devices.js';
import { CairnError } from '../errors.js';
import { causesOf, type Log } from './log.js';
import type { PoolStatuses } from './pool-statuses.js';
import type { PoolRecord, PoolRecords } from './records.js';

/** Makes those of the configuration that are missing. */
export async function prepareDirectories(directories: readonly string[]): Promise<void> {
  for (const directory of directories)
    await mkdir(directory, { recursive: true }).catch((cause: unknown) => {
      throw new CairnError(
        'invalid-config',
        `The pool ${directory} cannot be made. Correct \`pools\`, or let the service write there.`,
        {
          cause,
        },
      );
    });
}

export class Pools {
  constructor(
    readonly configured: readonly string[],
    private readonly records: PoolRecords,
    private readonly devices: PoolDevices,
    private readonly statuses: PoolStatuses,
    private readonly log: Log,
  ) {}

  /** Those of the configuration first. */
  async list(): Promise<Pool[]> {
    const added = await this.added();
    return Promise.all([...this.configured.map(configuredView), ...added.map((record) => this.view(record))]);
  }

  /** The one with the most space left. */
  async choose(): Promise<string> {
    const readable = (await this.list()).filter(({ state, availableBytes }) => {
      return state === 'ready' && availableBytes !== null;
    });
    const [roomiest] = readable.sort((one, other) => (other.availableBytes ?? 0) - (one.availableBytes ?? 0));
    if (roomiest) return roomiest.directory;
    throw new CairnError('no-space', 'No pool of this node can be read. Check that their file systems are mounted.');
  }

  /**
   * Throws `pool-unavailable` unless replicas of the directory can be used: nothing must be made or looked for in a directory in which the
   * pool is not mounted. Waits while the pool is being opened.
   */
  async check(directory: string): Promise<void> {
    const record = (await this.added()).find((each) => each.directory === directory);
    if (!record) return;
    await this.statuses.settled(record.name);
    const reason = await this.reasonOf(record);
    if (reason !== null)
      throw new CairnError('pool-unavailable', `Pool ${record.name}, where the volume lives, is not there: ${reason}`);
  }

  async view(record: PoolRecord): Promise<Pool> {
    const { name, directory, encryption } = record;
    const reason = await this.reasonOf(record);
    const space = reason === null ? await spaceOf(directory) : noSpace;
    return { name, directory, state: stateOf(record, reason), reason, encryption, ...space };
  }

  private async added(): Promise<PoolRecord[]> {
    const stored = await this.records.list((error) =>
      this.log('error', 'record cannot be read', { cause: causesOf(error) }),
    );
    return stored.map(({ record }) => record);
  }

  /** Why it cannot be used now; `null` when it can. */
  private async reasonOf({ name, state, directory, encryption }: PoolRecord): Promise<string | null> {
    const failure = this.statuses.failureOf(name);
    if (failure) return failure.detail;
    if (state !== 'ready') return `It is ${state}.`;
    const isThere = encryption
      ? await this.devices.isMounted(mappingName(name), directory).catch(() => false)
      : await isDirectory(directory);
    if (isThere) return null;
    return encryption ? `Nothing is mounted at ${directory}.` : `There is no directory ${directory}.`;
  }
}

/** Under which device-mapper knows the plaintext of an encrypted pool. */
export function mappingName(pool: string): string {
  return `cairn-${pool}`;
}

export async function isDirectory(path: string): Promise<boolean> {
  const found = await stat(path).catch(() => null);
  return found?.isDirectory() ?? false;
}

function stateOf({ state }: PoolRecord, reason: string | null): Pool['state'] {
  if (state === 'creating') return 'creating';
  if (state !== 'ready') return 'removing';
  return reason === null ? 'ready' : 'unavailable';
}

async function configuredView(directory: string): Promise<Pool> {
  const space = await spaceOf(directory);
  const isReadable = space.sizeBytes !== null;
  const reason = isReadable ? null : `${directory} cannot be read.`;
  return { name: null, directory, state: isReadable ? 'ready' : 'unavailable', reason, encryption: null, ...space };
}

type Space = Pick<Pool, 'sizeBytes' | 'availableBytes'>;
const noSpace: Space = { sizeBytes: null, availableBytes: null };

async function spaceOf(directory: string): Promise<Space> {
  try {
    const { bsize, blocks, bavail } = await statfs(directory);
    return { sizeBytes: bsize * blocks, availableBytes: bsize * bavail };
  } catch {
    return noSpace;
  }
}
