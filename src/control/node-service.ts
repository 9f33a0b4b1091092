/** The service of one node: store, engine, reconciler and REST server, started in this order and stopped in the other. */
import { join } from 'node:path';
import { checkAddress, startServer, type Server, type ServerOptions } from '../api/server.js';
import type { EngineEvent, Isolation, NodeEngine } from '../engine/node-engine.js';
import type { PoolDevices } from '../engine/pool-devices.js';
import { CairnError } from '../errors.js';
import { createControlPlane, type ControlPlane } from './control-plane.js';
import { causesOf, type Log } from './log.js';
import { Metrics } from './metrics.js';
import { operationHandlers } from './operation-handlers.js';
import { prepareDirectories } from './pools.js';
import type { ReconcilerTimes } from './reconciler.js';
import { SpaceWatch } from './space-watch.js';
import { EmbeddedStore } from './store/embedded-store.js';
import type { KeyValueStore } from './store/key-value-store.js';

export interface NodeServiceOptions {
  /** Where the embedded store lives, in `store`. */
  dataDirectory: string;
  /** Absolute directories in which replicas live, at least one; made if missing. */
  pools: readonly string[];
  /** Port 0 picks a free one. */
  rest: { host: string; port: number };
  /** Not started yet. */
  engine: NodeEngine;
  /** Works once the engine is started. */
  poolDevices: PoolDevices;
  isolation: Isolation;
  /** Of a pool's size; 0 or missing: nobody is told. */
  lowSpacePercent?: number;
  /** Throws `invalid-config` when certificates or keys cannot be used. */
  checkTls?: () => void;
  version: string;
  log: Log;
  /** In place of the embedded store; closed with the service. */
  store?: KeyValueStore;
  reconcilerTimes?: ReconcilerTimes;
  /** How long REST waits for the volumes to be attached or taken over, so that it begins with the whole picture. */
  startWaitMs?: number;
  now?: () => Date;
}

export interface NodeService {
  /** Where REST listens. */
  address: { host: string; port: number };
  /** Reads certificates and keys anew. */
  reloadTls(): Promise<void>;
  /** Ends the service. The data plane goes on serving unless it is to end too, flushed and closed. */
  stop(options?: { withDataPlane?: boolean }): Promise<void>;
}

const startWaitMsDefault = 2000;
const spaceWatchPeriodMs = 30_000;

/** Undone in the reverse order, when the service stops or cannot start. */
type Undo = (withDataPlane: boolean) => Promise<void>;

/** Resolves when REST answers. A volume that takes long to attach does not hold it up: `/readyz` tells when all have had their turn. */
export async function start(options: NodeServiceOptions): Promise<NodeService> {
  const undo: Undo[] = [];
  const stop = async (withDataPlane: boolean): Promise<void> => {
    for (let step = undo.pop(); step; step = undo.pop()) await step(withDataPlane);
  };
  try {
    const { address } = await startParts(options, undo);
    options.log('info', 'service started', { host: address.host, port: address.port, version: options.version });
    const reloadTls = () => reload(options);
    return { address, reloadTls, stop: ({ withDataPlane = false } = {}) => stop(withDataPlane) };
  } catch (error) {
    await stop(false);
    throw error;
  }
}

async function startParts(options: NodeServiceOptions, undo: Undo[]): Promise<Server> {
  const { engine, poolDevices, dataDirectory, pools, log, now = () => new Date(), reconcilerTimes } = options;
  await checkAddress(options.rest);
  await prepareDirectories(pools);
  const store = options.store ?? (await EmbeddedStore.open(join(dataDirectory, 'store')));
  undo.push(() => store.close());
  const control = createControlPlane({
    store,
    engine,
    poolDevices,
    dataDirectory,
    pools,
    log,
    now,
    ...(reconcilerTimes && { reconcilerTimes }),
  });
  const { parts, reconciler, poolKeeper } = control;
  undo.push((withDataPlane) => (withDataPlane ? engine.shutdown() : engine.release()));
  await engine.start((event) => hear(event, control));
  undo.push(() => parts.mutex.idle());
  undo.push(() => control.deletions.stop());
  undo.push(async () => reconciler.stop());
  const spaceWatch = new SpaceWatch(parts, control.pools, options.lowSpacePercent ?? 0, spaceWatchPeriodMs);
  undo.push(async () => spaceWatch.stop());
  spaceWatch.start();
  undo.push(async () => poolKeeper.stop());
  await poolKeeper.start();
  let isReady = false;
  const firstTurns = reconciler.start().then(() => (isReady = true));
  await atMost(options.startWaitMs ?? startWaitMsDefault, firstTurns);
  const server = await startServer(serverOptions(options, control, () => checkReady(engine, store, isReady)));
  undo.push(() => server.close());
  return server;
}

function serverOptions(options: NodeServiceOptions, control: ControlPlane, ready: () => Promise<void>): ServerOptions {
  const { rest, version, isolation, log } = options;
  const { parts, views } = control;
  const reloadTls = () => reload(options);
  const metrics = new Metrics(version, async () => {
    const [volumes, { byName }] = await Promise.all([views.volumes(), views.seen()]);
    return { volumes, seen: byName, processes: parts.engine.processes(), events: parts.events.counts };
  });
  return {
    ...rest,
    version,
    handlers: operationHandlers(control, { version, isolation, started: parts.now(), reloadTls }),
    followEvents: (afterId, signal) => parts.events.follow(afterId, signal),
    probes: { ready, metrics: () => metrics.text() },
    onDefect: (error, request) => log('error', 'request failed', { request, cause: causesOf(error) }),
  };
}

/** Files that cannot be used change nothing: who connects is served with the former ones. */
async function reload({ engine, checkTls, log }: NodeServiceOptions): Promise<void> {
  checkTls?.();
  await engine.reloadTls();
  log('info', 'certificates and keys read anew');
}

async function atMost(timeoutMs: number, work: Promise<unknown>): Promise<void> {
  let late: NodeJS.Timeout | undefined;
  const timeout = new Promise((resolve) => (late = setTimeout(resolve, timeoutMs)));
  await Promise.race([work, timeout]);
  clearTimeout(late);
}

async function checkReady(engine: NodeEngine, store: KeyValueStore, isReady: boolean): Promise<void> {
  if (!isReady) throw new CairnError('starting', 'The volumes are being attached. Try again in a moment.');
  await store.get('/cairn/v1/ready');
  if (engine.processes().length === 0)
    throw new CairnError(
      'data-plane-unavailable',
      'No data-plane process runs. It is being started; try again in a moment.',
    );
  await engine.allRunning();
}

function hear(event: EngineEvent, { parts, changes, reconciler }: ControlPlane): void {
  const { events, log, leftUndone } = parts;
  const { kind } = event;
  if (kind === 'process-started') {
    const { process, pid, restarted } = event;
    events.add({
      kind,
      process,
      message: `Data-plane process ${process} ${restarted ? 'runs again' : 'runs'} (pid ${pid}).`,
    });
    log('info', 'data-plane process runs', { process, pid, restarted });
    reconciler.request();
  } else if (kind === 'process-died') {
    const { process, pid, signal } = event;
    events.add({
      kind,
      process,
      message: `Data-plane process ${process} (pid ${pid}) ended${signal ? ` by ${signal}` : ''}.`,
    });
    log('error', 'data-plane process ended', { process, pid, signal });
  } else {
    const { volume, message } = event;
    events.add({ kind, volume, message });
    log(kind.endsWith('-finished') ? 'info' : 'error', message, { kind, volume });
    if (kind === 'scrub-finished') changes.scrubEnded(volume).catch((error: unknown) => leftUndone(volume, error));
    if (kind === 'flatten-finished' || kind === 'reencryption-finished') reconciler.requestOne(volume);
  }
}
