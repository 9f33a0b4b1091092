/** What is remembered of volumes that are closed: as they were, which they still are, for nothing changes them. */
import type { RunningVolume, SeenVolume } from './node-engine.js';
import { allocatedBytes } from './replica-directory.js';

interface Remembered {
  directory: string;
  volume: SeenVolume;
}

export class ClosedVolumes {
  private readonly volumes = new Map<string, Remembered>();
  /** Bytes by directory, of volumes that this service has not opened. */
  private readonly measured = new Map<string, number>();

  remember(directory: string, volume: RunningVolume): void {
    const closed: SeenVolume = { ...volume, clients: 0, frontend: 'none', openness: 'closed' };
    this.volumes.set(volume.name, { directory, volume: closed });
  }

  /** It was opened, or deleted. */
  forget(directory: string): void {
    this.measured.delete(directory);
    for (const [name, remembered] of this.volumes) if (remembered.directory === directory) this.volumes.delete(name);
  }

  get(name: string): SeenVolume | undefined {
    return this.volumes.get(name)?.volume;
  }

  all(): SeenVolume[] {
    return [...this.volumes.values()].map(({ volume }) => volume);
  }

  async allocatedBytes(directory: string): Promise<number | null> {
    const bytes = this.measured.get(directory) ?? (await allocatedBytes(directory));
    if (bytes !== null) this.measured.set(directory, bytes);
    return bytes;
  }
}
