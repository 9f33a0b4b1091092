/** A service's connection to one data-plane process over its control socket. */
import * as grpc from '@grpc/grpc-js';
import { DataPlane, type Event } from '../generated/cairn/dataplane/v1/data_plane_pb.js';
import { createClient, type ServiceClient } from './grpc-adapter.js';

/** Opening recovers and closing flushes, so calls may take long on a slow disk; none may hang for ever. */
export const callTimeoutMs = 60_000;
export const flushTimeoutMs = 600_000;
/** A key is derived with Argon2id, one volume after the other. */
export const keyTimeoutMs = 600_000;

/** Layers of all volumes go into one GetState answer. */
const messageBytesMax = 64 * 1024 * 1024;

export class DataPlaneConnection {
  private readonly channel: grpc.Client;
  readonly calls: ServiceClient<typeof DataPlane>;

  constructor(socketPath: string) {
    this.channel = new grpc.Client(`unix:${socketPath}`, grpc.credentials.createInsecure(), {
      // The shared pool would hand a restarted process's connection the back-off of the one that died.
      'grpc.use_local_subchannel_pool': 1,
      'grpc.initial_reconnect_backoff_ms': 20,
      'grpc.max_reconnect_backoff_ms': 200,
      'grpc.max_receive_message_length': messageBytesMax,
      // A unix socket never goes through a proxy that the environment names.
      'grpc.enable_http_proxy': 0,
    });
    this.calls = createClient(this.channel, DataPlane, callTimeoutMs);
  }

  /** Resolves when the process ends the stream, rejects when it breaks or is aborted. */
  watch(each: (event: Event) => void, signal: AbortSignal): Promise<void> {
    return this.calls.watchEvents({}, each, { signal });
  }

  /** Lets calls that are under way finish. */
  close(): void {
    this.channel.close();
  }
}
