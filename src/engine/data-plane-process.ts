/**
 * What `cairn data-plane ID` runs: the process that loads the addon and holds volumes, exports and listeners as a service
 * tells it on its control socket. It outlives the service; it ends by the Shutdown call or by SIGTERM or SIGINT.
 */
import { chmodSync } from 'node:fs';
import * as grpc from '@grpc/grpc-js';
import { catalogue, CairnError, toCairnError } from '../errors.js';
import { DataPlane } from '../generated/cairn/dataplane/v1/data_plane_pb.js';
import { DataPlaneService } from './data-plane-service.js';
import { addService } from './grpc-adapter.js';
import { loadNativeOrStandIn, type DataPlaneOptions, type Native, type NativeDataPlane } from './native.js';
import { processLog, type Log, type LogLevel } from './process-log.js';
import { RunDirectory } from './run-directory.js';
import { clearStaleSocket, removeSocket } from './unix-socket.js';

export interface DataPlaneProcessOptions extends DataPlaneOptions {
  id: string;
  runDirectory: string;
  version: string;
  logLevel: LogLevel;
}

/** How long the last answers may take to reach a service before the process ends without it. */
const lastAnswersTimeoutMs = 1_000;

/** Everything the process makes (sockets, replica files) is its user's alone. */
const ownerOnly = 0o077;

/** Serves until the process ends; a failed start is logged and ends it with exit code 1. */
export async function runDataPlaneProcess(options: DataPlaneProcessOptions): Promise<void> {
  process.umask(ownerOnly);
  const log = processLog(options.id, options.logLevel);
  dieLoudly(log);
  try {
    await new DataPlaneProcess(options, log).start();
  } catch (error) {
    const { code, detail } = toCairnError(error);
    log('error', detail, { code, ...stackOf(error) });
    process.exit(1);
  }
}

class DataPlaneProcess {
  private readonly server = new grpc.Server();
  private readonly socket: string;
  private native: NativeDataPlane | undefined;
  private service: DataPlaneService | undefined;
  private closed: Promise<void> | undefined;

  constructor(
    private readonly options: DataPlaneProcessOptions,
    private readonly log: Log,
  ) {
    const directory = new RunDirectory(options.runDirectory);
    directory.create();
    this.socket = directory.controlSocket(options.id);
  }

  async start(): Promise<void> {
    await clearStaleSocket(this.socket);
    const { id, version, reactors, bufferBytes, connectionsMax, negotiationsMax, iscsi } = this.options;
    const { DataPlane: NativeClass } = usable(await loadNativeOrStandIn(process.env));
    const nativeOptions = { reactors, bufferBytes, connectionsMax, negotiationsMax, iscsi };
    this.native = new NativeClass(nativeOptions, (event) => this.service?.report(event));
    const identity = { id, version, startTimeMs: Date.now() };
    this.service = new DataPlaneService(this.native, identity, this.log, () => this.closeForShutdown());
    addService(this.server, DataPlane, this.service.handlers, (method, error) => this.logFailure(method, error));
    this.endOnSignal();
    await this.bind();
    this.log('info', 'data plane started', { pid: process.pid, version, reactors, socket: this.socket });
  }

  private async bind(): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const credentials = grpc.ServerCredentials.createInsecure();
      this.server.bindAsync(`unix:${this.socket}`, credentials, (error) => (error ? reject(error) : resolve()));
    });
    chmodSync(this.socket, 0o600);
  }

  /** A second signal finds the first one's promise and so cannot cut the flush short. */
  private endOnSignal(): void {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.on(signal, () => {
        this.log('info', 'signal received', { signal });
        void this.closeEverything().then(() => this.end());
      });
    }
  }

  private async closeForShutdown(): Promise<void> {
    await this.closeEverything();
    setImmediate(() => void this.end()); // behind the answer to the call
  }

  private closeEverything(): Promise<void> {
    this.closed ??= (async () => {
      this.log('info', 'closing: no new clients, flushing what is open');
      try {
        await this.native?.close();
      } catch (error) {
        this.log('error', 'closing failed', { code: toCairnError(error).code, ...stackOf(error) });
        process.exitCode = 1;
      }
    })();
    return this.closed;
  }

  private async end(): Promise<void> {
    this.service?.endStreams();
    await new Promise<void>((resolve) => {
      setTimeout(resolve, lastAnswersTimeoutMs);
      this.server.tryShutdown(() => resolve());
    });
    await removeSocket(this.socket);
    this.log('info', 'data plane ended', { exitCode: Number(process.exitCode ?? 0) });
    process.exit();
  }

  private logFailure(method: string, error: CairnError): void {
    const isDefect = error.code === 'internal';
    const stack = isDefect ? stackOf(error.cause) : {};
    this.log(isDefect ? 'error' : 'info', `${method} failed`, { code: error.code, detail: error.detail, ...stack });
  }
}

/** Refuses to run where the addon cannot, with what to enable. */
function usable(native: Native): Native {
  const { ioUring, reason } = native.probe();
  if (ioUring) return native;
  throw new CairnError('io-uring-unavailable', reason ?? catalogue['io-uring-unavailable'].advice);
}

/** Volumes are crash safe, so a process in an unknown state must not go on: it ends, and the service starts another. */
function dieLoudly(log: Log): void {
  const die = (what: string) => (error: unknown) => {
    log('error', what, stackOf(error));
    process.exit(70);
  };
  process.on('uncaughtException', die('uncaught exception'));
  process.on('unhandledRejection', die('unhandled rejection'));
}

function stackOf(error: unknown): { stack: string | undefined } {
  return { stack: error instanceof Error ? error.stack : String(error) };
}
