/** The data-plane processes of a node: at most one of each id, whoever asks for it and when. */
import { readdir } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import type { GetStateResponse } from '../generated/cairn/dataplane/v1/data_plane_pb.js';
import { catalogued } from '../errors.js';
import { DataPlaneConnection } from './data-plane-connection.js';
import type { DataPlaneLauncher } from './data-plane-launcher.js';
import type { Log } from './process-log.js';
import { processOfSocket, type RunDirectory } from './run-directory.js';
import { SupervisedProcess, supervisionLimits, type ProcessHooks, type RunningProcess } from './supervised-process.js';
import { clearStaleSocket, isListening } from './unix-socket.js';

/** How long to wait for a process that is ending and so neither answers nor is gone. */
const discoveryTimeoutMs = 60_000;
const discoveryPollMs = 100;

export class DataPlaneFleet {
  private readonly processes = new Map<string, SupervisedProcess>();

  constructor(
    private readonly directory: RunDirectory,
    private readonly launcher: DataPlaneLauncher,
    private readonly hooks: ProcessHooks,
    private readonly log: Log,
  ) {}

  /** What the processes that run hold, by their ids; sockets of dead ones are removed. Supervises none of them yet. */
  async discover(): Promise<Map<string, GetStateResponse>> {
    const files = await readdir(this.directory.dataPlanes);
    const ids = files.map(processOfSocket).filter((id) => id !== undefined);
    const states = await Promise.all(ids.map(async (id) => [id, await this.stateOf(id)] as const));
    const live = states.filter((entry): entry is [string, GetStateResponse] => entry[1] !== undefined);
    return new Map(live);
  }

  /** The process, up: found, started or waited for. */
  async ensure(id: string): Promise<RunningProcess> {
    let process = this.processes.get(id);
    if (!process) {
      process = new SupervisedProcess(id, this.directory.controlSocket(id), this.launcher, this.hooks, this.log);
      this.processes.set(id, process);
    }
    try {
      await process.start();
    } catch (error) {
      if (this.processes.get(id) === process) this.processes.delete(id);
      throw error;
    }
    return process.up();
  }

  /** Ends the process if it is supervised; waits until it is gone. */
  async end(id: string): Promise<void> {
    const process = this.processes.get(id);
    if (!process) return;
    await process.end();
    this.processes.delete(id);
  }

  /** Forgets a process that died and is not to come back. */
  forget(id: string): void {
    this.processes.delete(id);
  }

  /** The process if it is up. */
  find(id: string): RunningProcess | undefined {
    return this.processes.get(id)?.running;
  }

  /** Those that are up, by id. */
  running(): RunningProcess[] {
    const ids = [...this.processes.keys()].toSorted();
    return ids.map((id) => this.find(id)).filter((running) => running !== undefined);
  }

  async release(): Promise<void> {
    await Promise.all([...this.processes.values()].map((process) => process.release()));
  }

  /** Ends all, the one that takes new clients first. */
  async shutdown(first: string): Promise<void> {
    await this.end(first);
    await Promise.all([...this.processes.keys()].map((id) => this.end(id)));
  }

  /** `undefined` when nobody listens on the socket (any more). */
  private async stateOf(id: string): Promise<GetStateResponse | undefined> {
    const socket = this.directory.controlSocket(id);
    const deadline = performance.now() + discoveryTimeoutMs;
    while (await isListening(socket)) {
      const connection = new DataPlaneConnection(socket);
      try {
        return await connection.calls.getState({}, { timeoutMs: supervisionLimits.stateTimeoutMs });
      } catch (error) {
        if (performance.now() > deadline) {
          throw catalogued('data-plane-timeout', `Data-plane process ${id} neither answers nor ends.`, {
            cause: error,
          });
        }
        await delay(discoveryPollMs);
      } finally {
        connection.close();
      }
    }
    await clearStaleSocket(socket);
    return undefined;
  }
}
