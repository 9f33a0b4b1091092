/**
 * One data-plane process under supervision: found running or started, watched, and started again when it dies.
 *
 * The process's event stream is the watch: it breaks the moment the process dies, however it dies.
 */
import { once, EventEmitter } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { catalogued, toCairnError } from '../errors.js';
import type { DataPlane, Event } from '../generated/cairn/dataplane/v1/data_plane_pb.js';
import { DataPlaneConnection, flushTimeoutMs } from './data-plane-connection.js';
import type { DataPlaneLauncher, LaunchedProcess } from './data-plane-launcher.js';
import type { ServiceClient } from './grpc-adapter.js';
import { identify, isAlive, type ProcessIdentity } from './process-identity.js';
import type { Log } from './process-log.js';
import { RestartBackoff } from './restart-backoff.js';
import { isListening } from './unix-socket.js';

export type DataPlaneCalls = ServiceClient<typeof DataPlane>;

/** One life of the process, from its start to its death. */
export interface RunningProcess {
  readonly id: string;
  readonly pid: number;
  readonly version: string;
  readonly startTimeMs: number;
  readonly calls: DataPlaneCalls;
}

export interface ProcessHooks {
  /** Gives a process what it must hold before anyone uses it; called in each life, also for one that was found running. */
  prepare(process: RunningProcess): Promise<void>;
  started(process: RunningProcess, restarted: boolean): void;
  /** Says whether it is to be started again. */
  died(process: RunningProcess, signal: string | null): boolean;
  event(event: Event): void;
}

export const supervisionLimits = {
  startTimeoutMs: 30_000,
  startPollMs: 10,
  /** GetState only reads memory. */
  stateTimeoutMs: 10_000,
  deathPollMs: 20,
  /** How long a call waits for a process that is being restarted. */
  upTimeoutMs: 15_000,
} as const;

interface Life extends RunningProcess {
  readonly identity: ProcessIdentity;
  readonly connection: DataPlaneConnection;
  readonly launched: LaunchedProcess | undefined;
}

export class SupervisedProcess {
  private readonly stopped = new AbortController();
  private readonly events = new EventEmitter();
  private life: Life | undefined;
  private released = false;
  private firstStart: Promise<void> | undefined;
  private supervision: Promise<void> | undefined;

  constructor(
    readonly id: string,
    private readonly socketPath: string,
    private readonly launcher: DataPlaneLauncher,
    private readonly hooks: ProcessHooks,
    private readonly log: Log,
  ) {
    this.events.setMaxListeners(0); // every caller of up() during a restart
  }

  /** Adopts or starts it and supervises from then on. Rejects, and supervises nothing, when the first start fails. */
  start(): Promise<void> {
    this.firstStart ??= this.startFirst();
    return this.firstStart;
  }

  get running(): RunningProcess | undefined {
    return this.life;
  }

  /** The process once it is up: at once, or after the restart that is under way. */
  async up(): Promise<RunningProcess> {
    if (this.life) return this.life;
    const timeout = AbortSignal.timeout(supervisionLimits.upTimeoutMs);
    try {
      await once(this.events, 'up', { signal: AbortSignal.any([timeout, this.stopped.signal]) });
    } catch (error) {
      throw catalogued('data-plane-unavailable', `Data-plane process ${this.id} is not running.`, { cause: error });
    }
    return this.up();
  }

  /** Lets it run on, unwatched. */
  async release(): Promise<void> {
    this.stopped.abort();
    this.released = true;
    await Promise.allSettled([this.firstStart, this.supervision]);
    this.life?.connection.close();
    this.life = undefined;
  }

  /** Ends it cleanly and waits for its end. */
  async end(): Promise<void> {
    this.stopped.abort();
    await Promise.allSettled([this.firstStart, this.supervision]);
    // A restart that was interrupted may have left the process running without a life.
    const life = this.life ?? ((await isListening(this.socketPath)) ? await this.begin() : undefined);
    if (life) await this.endLife(life);
    this.life = undefined;
  }

  private async startFirst(): Promise<void> {
    const life = await this.begin();
    try {
      await this.goUp(life, false);
    } catch (error) {
      if (life.launched) await this.endLife(life);
      else life.connection.close();
      throw error;
    }
    this.supervision = this.supervise(life);
  }

  private async supervise(first: Life): Promise<void> {
    const backoff = new RestartBackoff();
    let life: Life | undefined = first;
    while (life) {
      const startedAt = performance.now();
      await this.death(life);
      if (this.stopped.signal.aborted) return;
      const signal = await signalOf(life);
      this.life = undefined;
      life.connection.close();
      if (!this.hooks.died(life, signal)) return;
      life = await this.restart(backoff, performance.now() - startedAt);
    }
  }

  /** `undefined` once the supervision was stopped. */
  private async restart(backoff: RestartBackoff, uptimeMs: number): Promise<Life | undefined> {
    for (let lastUptimeMs = uptimeMs; !this.stopped.signal.aborted; lastUptimeMs = 0) {
      await this.pause(backoff.delayAfter(lastUptimeMs));
      if (this.stopped.signal.aborted) return undefined;
      let life: Life | undefined;
      try {
        life = await this.begin();
        await this.goUp(life, true);
        return life;
      } catch (error) {
        life?.connection.close(); // the process, if it lives, is found again by the next attempt
        const { code, detail } = toCairnError(error);
        this.log('error', 'data-plane process cannot be restarted', { process: this.id, code, detail });
      }
    }
    return undefined;
  }

  /** Finds the process running or starts it, and asks it who it is. */
  private async begin(): Promise<Life> {
    const launched = (await isListening(this.socketPath)) ? undefined : await this.launch();
    const connection = new DataPlaneConnection(this.socketPath);
    try {
      const { pid, version, startTimeMs } = await connection.calls.getState(
        {},
        { timeoutMs: supervisionLimits.stateTimeoutMs },
      );
      const identity = identify(pid) ?? { pid, startTicks: '' }; // died meanwhile: the watch finds out
      const { calls } = connection;
      return { id: this.id, pid, version, startTimeMs: Number(startTimeMs), calls, identity, connection, launched };
    } catch (error) {
      connection.close();
      throw error;
    }
  }

  private async launch(): Promise<LaunchedProcess> {
    const launched = this.launcher.launch(this.id);
    const deadline = performance.now() + supervisionLimits.startTimeoutMs;
    const exited = launched.exited.then((exit) => Promise.reject(launched.failure(exit)));
    exited.catch(() => {}); // after the start, the watch tells of its end
    while (!this.released && !(await isListening(this.socketPath))) {
      if (performance.now() > deadline) {
        throw catalogued('data-plane-timeout', `Data-plane process ${this.id} (pid ${launched.pid}) does not come up.`);
      }
      await Promise.race([delay(supervisionLimits.startPollMs), exited]);
    }
    return launched;
  }

  private async goUp(life: Life, restarted: boolean): Promise<void> {
    await this.hooks.prepare(life);
    this.life = life;
    this.events.emit('up');
    if (life.launched || restarted) this.hooks.started(life, restarted);
    else this.log('info', 'data-plane process found running', { process: this.id, pid: life.pid });
  }

  /** Resolves when the process has died or supervision has stopped. A stream that breaks while it lives is opened again. */
  private async death(life: Life): Promise<void> {
    while (!this.stopped.signal.aborted && isAlive(life.identity)) {
      const each = (event: Event): void => this.hooks.event(event);
      await life.connection.watch(each, this.stopped.signal).catch(() => {}); // how it broke says nothing more
      if (isAlive(life.identity)) await this.pause(supervisionLimits.deathPollMs);
    }
  }

  private async endLife(life: Life): Promise<void> {
    try {
      await life.calls.shutdown({}, { timeoutMs: flushTimeoutMs });
      while (isAlive(life.identity)) await delay(supervisionLimits.deathPollMs);
    } catch (error) {
      if (isAlive(life.identity)) throw error; // else it was faster in ending than in answering
    } finally {
      life.connection.close();
    }
  }

  private async pause(ms: number): Promise<void> {
    if (ms > 0) await delay(ms, undefined, { signal: this.stopped.signal }).catch(() => {}); // woken by stop
  }
}

/** Only the parent learns how a process ended. */
async function signalOf(life: Life): Promise<string | null> {
  return life.launched ? (await life.launched.exited).signal : null;
}
