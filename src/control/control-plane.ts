/** All that decides about one node's volumes, put together over a store and an engine. */
import type { NodeEngine } from '../engine/node-engine.js';
import type { PoolDevices } from '../engine/pool-devices.js';
import { AccessOperations } from './access-operations.js';
import { EventLog } from './event-log.js';
import { KeyedMutex } from './keyed-mutex.js';
import type { Log } from './log.js';
import type { ControlParts } from './parts.js';
import { PoolKeeper } from './pool-keeper.js';
import { PoolOperations } from './pool-operations.js';
import { PoolStatuses } from './pool-statuses.js';
import { PoolSteps } from './pool-steps.js';
import { Pools } from './pools.js';
import { Reconciler, reconcilerTimesDefault, type ReconcilerTimes } from './reconciler.js';
import { Records } from './records.js';
import { SnapshotOperations } from './snapshot-operations.js';
import type { KeyValueStore } from './store/key-value-store.js';
import { VolumeChanges } from './volume-changes.js';
import { VolumeDeletions } from './volume-deletions.js';
import { KeyOperations } from './key-operations.js';
import { VolumeOperations } from './volume-operations.js';
import { VolumeStatuses } from './volume-statuses.js';
import { VolumeSteps } from './volume-steps.js';
import { VolumeViews } from './volume-views.js';

export interface ControlPlaneOptions {
  store: KeyValueStore;
  engine: NodeEngine;
  poolDevices: PoolDevices;
  /** Absolute. Encrypted pools are mounted in `pools` in it. */
  dataDirectory: string;
  /** The directories of the configuration. */
  pools: readonly string[];
  log: Log;
  now: () => Date;
  reconcilerTimes?: ReconcilerTimes;
}

export interface ControlPlane {
  parts: ControlParts;
  pools: Pools;
  poolOperations: PoolOperations;
  poolKeeper: PoolKeeper;
  volumes: VolumeOperations;
  changes: VolumeChanges;
  keys: KeyOperations;
  access: AccessOperations;
  deletions: VolumeDeletions;
  snapshots: SnapshotOperations;
  views: VolumeViews;
  reconciler: Reconciler;
}

/** Nothing runs until the reconciler is started. */
export function createControlPlane({
  store,
  engine,
  poolDevices,
  dataDirectory,
  pools: configured,
  log,
  now,
  reconcilerTimes = reconcilerTimesDefault,
}: ControlPlaneOptions): ControlPlane {
  const parts: ControlParts = {
    records: new Records(store),
    engine,
    mutex: new KeyedMutex(),
    statuses: new VolumeStatuses(),
    events: new EventLog(now),
    log,
    now,
    leftUndone: (volume, error) => reconciler.leftUndone(volume, error),
  };
  const poolStatuses = new PoolStatuses();
  const poolSteps = new PoolSteps(parts, poolDevices);
  const pools = new Pools(configured, parts.records.pools, poolDevices, poolStatuses, log);
  const poolKeeper = new PoolKeeper(parts, poolSteps, poolStatuses, reconcilerTimes, () => reconciler.request());
  const poolOperations = new PoolOperations(parts, poolSteps, poolKeeper, pools, poolDevices, dataDirectory);
  const steps = new VolumeSteps(parts, pools);
  const deletions = new VolumeDeletions(parts, steps);
  const reconciler = new Reconciler(parts, steps, deletions, reconcilerTimes);
  const volumes = new VolumeOperations(parts, steps, deletions, pools);
  const changes = new VolumeChanges(parts, steps, volumes);
  const keys = new KeyOperations(parts, steps, volumes);
  const access = new AccessOperations(parts, volumes);
  const snapshots = new SnapshotOperations(parts, steps, volumes);
  const views = new VolumeViews(parts, deletions);
  return {
    parts,
    pools,
    poolOperations,
    poolKeeper,
    volumes,
    changes,
    keys,
    access,
    deletions,
    snapshots,
    views,
    reconciler,
  };
}
