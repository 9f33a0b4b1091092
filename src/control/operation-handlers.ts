/** The operations of the API, put together from what the control plane can do. */
import { hostname } from 'node:os';
import type { Handlers } from '../api/operations.js';
import type { Node } from '../api/node-schemas.js';
import type { Volume } from '../api/schemas.js';
import type { Isolation } from '../engine/node-engine.js';
import { CairnError } from '../errors.js';
import type { ControlPlane } from './control-plane.js';
import type { ControlParts } from './parts.js';
import type { Pools } from './pools.js';

export interface ServiceFacts {
  version: string;
  isolation: Isolation;
  started: Date;
  reloadTls: () => Promise<void>;
}

export function operationHandlers(
  { parts, poolOperations, volumes, changes, keys, access, snapshots, views, pools }: ControlPlane,
  service: ServiceFacts,
): Handlers {
  const show = async (name: string): Promise<Volume> => views.volume((await volumes.existing(name)).record);
  const snapshotsOf = async (name: string) => views.snapshots((await volumes.existing(name)).record);
  const showSnapshot = async (volume: string, name: string) => {
    const { record } = await volumes.existing(volume);
    const { id } = (await snapshots.existing(record, name)).record;
    const found = (await views.snapshots(record)).find((snapshot) => snapshot.id === id);
    if (found) return found;
    throw new CairnError('snapshot-not-found', `Snapshot ${name} was deleted meanwhile. List the volume's snapshots.`);
  };
  return {
    listVolumes: async () => ({ volumes: await views.volumes() }),
    createVolume: async ({ body }) => {
      await volumes.create(body);
      return show(body.name);
    },
    getVolume: ({ params }) => show(params.name),
    deleteVolume: async ({ params }) => views.volume(await volumes.delete(params.name)),
    attachVolume: async ({ params: { name }, body }) => {
      await volumes.attach(name, body);
      return show(name);
    },
    detachVolume: async ({ params: { name }, body }) => {
      await volumes.detach(name, body);
      return show(name);
    },
    resizeVolume: async ({ params: { name }, body }) => {
      await changes.resize(name, body);
      return show(name);
    },
    limitVolume: async ({ params: { name }, body }) => {
      await changes.limit(name, body);
      return show(name);
    },
    flattenVolume: async ({ params: { name } }) => {
      await changes.flatten(name);
      return show(name);
    },
    reencryptVolume: async ({ params: { name } }) => {
      await keys.reencrypt(name);
      return show(name);
    },
    getAccess: ({ params: { name } }) => access.show(name),
    changeAccess: ({ params: { name }, body }) => access.change(name, body),
    listKeys: ({ params: { name } }) => keys.list(name),
    addKey: ({ params: { name }, body }) => keys.add(name, body),
    removeKey: ({ params: { name }, body }) => keys.remove(name, body),
    rotateKey: ({ params: { name }, body }) => keys.rotate(name, body),
    backupHeader: ({ params: { name }, body }) => keys.backUpHeader(name, body),
    restoreHeader: async ({ params: { name }, body }) => {
      await keys.restoreHeader(name, body);
      return show(name);
    },
    scrubVolume: async ({ params: { name } }) => {
      await changes.scrub(name);
      return show(name);
    },
    listSnapshots: async ({ params }) => ({ snapshots: await snapshotsOf(params.name) }),
    createSnapshot: async ({ params: { name }, body }) => showSnapshot(name, await snapshots.create(name, body)),
    getSnapshot: ({ params: { name, snapshot } }) => showSnapshot(name, snapshot),
    deleteSnapshot: ({ params: { name, snapshot } }) => snapshots.delete(name, snapshot).then(() => undefined),
    revertSnapshot: async ({ params: { name, snapshot } }) => {
      await snapshots.revert(name, snapshot);
      return show(name);
    },
    listPools: async () => ({ pools: await pools.list() }),
    addPool: async ({ body }) => pools.view(await poolOperations.add(body)),
    removePool: async ({ params: { name } }) => {
      await poolOperations.remove(name);
      return undefined;
    },
    getNode: () => node(parts, pools, service),
    reloadTls: async () => {
      await service.reloadTls();
      return undefined;
    },
    listEvents: async ({ query: { volume } }) => ({ events: parts.events.recent(volume) }),
  };
}

async function node({ engine }: ControlParts, pools: Pools, service: ServiceFacts): Promise<Node> {
  return {
    host: hostname(),
    version: service.version,
    pid: process.pid,
    started: service.started.toISOString(),
    isolation: service.isolation,
    processes: engine.processes().map(({ startTimeMs, ...rest }) => ({
      ...rest,
      started: new Date(startTimeMs).toISOString(),
    })),
    pools: await pools.list(),
  };
}
