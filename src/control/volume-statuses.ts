/** What is known of volumes only while the service runs: where clients reach them, and why they are not as they should be. */
import type { CairnError } from '../errors.js';

export class VolumeStatuses {
  private readonly uris = new Map<string, string[]>();
  private readonly failures = new Map<string, CairnError>();

  attached(volume: string, uris: string[]): void {
    this.uris.set(volume, uris);
  }

  detached(volume: string): void {
    this.uris.delete(volume);
  }

  deleted(volume: string): void {
    this.uris.delete(volume);
    this.failures.delete(volume);
  }

  failed(volume: string, error: CairnError): void {
    this.failures.set(volume, error);
  }

  /** It is as it should be. True if it had failed before. */
  recovered(volume: string): boolean {
    return this.failures.delete(volume);
  }

  /** `undefined` until this service has attached the volume or taken it over. */
  urisOf(volume: string): string[] | undefined {
    return this.uris.get(volume);
  }

  failureOf(volume: string): CairnError | undefined {
    return this.failures.get(volume);
  }
}
