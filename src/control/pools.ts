/** The directories of this node in which replicas live. */
import { mkdir, statfs } from 'node:fs/promises';
import { CairnError } from '../errors.js';

export interface PoolSpace {
  directory: string;
  /** `null` if the directory cannot be read. */
  sizeBytes: number | null;
  availableBytes: number | null;
}

export class Pools {
  constructor(private readonly directories: readonly string[]) {}

  /** Makes those that are missing. */
  async prepare(): Promise<void> {
    for (const directory of this.directories)
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

  async space(): Promise<PoolSpace[]> {
    return Promise.all(this.directories.map(spaceOf));
  }

  /** The one with the most space left. */
  async choose(): Promise<string> {
    const readable = (await this.space()).filter(({ availableBytes }) => availableBytes !== null);
    const [roomiest] = readable.sort((one, other) => (other.availableBytes ?? 0) - (one.availableBytes ?? 0));
    if (roomiest) return roomiest.directory;
    throw new CairnError('no-space', 'No pool of this node can be read. Check that their file systems are mounted.');
  }
}

async function spaceOf(directory: string): Promise<PoolSpace> {
  try {
    const { bsize, blocks, bavail } = await statfs(directory);
    return { directory, sizeBytes: bsize * blocks, availableBytes: bsize * bavail };
  } catch {
    return { directory, sizeBytes: null, availableBytes: null };
  }
}
