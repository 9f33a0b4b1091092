/**
 * Where each operation is found: all that a client needs to call it. Apart from the schemas, which take longer to load than a
 * command of the command line takes to run.
 */
export interface Route {
  method: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  /** With `:param` for each parameter. */
  path: string;
}

const volume = '/v1/volumes/:name';
const snapshot = `${volume}/snapshots/:snapshot`;

export const routes = {
  listVolumes: { method: 'GET', path: '/v1/volumes' },
  createVolume: { method: 'POST', path: '/v1/volumes' },
  getVolume: { method: 'GET', path: volume },
  deleteVolume: { method: 'DELETE', path: volume },
  attachVolume: { method: 'POST', path: `${volume}/attach` },
  detachVolume: { method: 'POST', path: `${volume}/detach` },
  resizeVolume: { method: 'POST', path: `${volume}/resize` },
  limitVolume: { method: 'PATCH', path: `${volume}/limits` },
  getAccess: { method: 'GET', path: `${volume}/access` },
  changeAccess: { method: 'PATCH', path: `${volume}/access` },
  flattenVolume: { method: 'POST', path: `${volume}/flatten` },
  reencryptVolume: { method: 'POST', path: `${volume}/reencrypt` },
  scrubVolume: { method: 'POST', path: `${volume}/scrub` },
  listKeys: { method: 'GET', path: `${volume}/keys` },
  addKey: { method: 'POST', path: `${volume}/keys` },
  removeKey: { method: 'POST', path: `${volume}/keys/remove` },
  rotateKey: { method: 'POST', path: `${volume}/keys/rotate` },
  backupHeader: { method: 'POST', path: `${volume}/header/backup` },
  restoreHeader: { method: 'POST', path: `${volume}/header/restore` },
  listSnapshots: { method: 'GET', path: `${volume}/snapshots` },
  createSnapshot: { method: 'POST', path: `${volume}/snapshots` },
  getSnapshot: { method: 'GET', path: snapshot },
  deleteSnapshot: { method: 'DELETE', path: snapshot },
  revertSnapshot: { method: 'POST', path: `${snapshot}/revert` },
  listPools: { method: 'GET', path: '/v1/pools' },
  addPool: { method: 'POST', path: '/v1/pools' },
  removePool: { method: 'DELETE', path: '/v1/pools/:name' },
  getNode: { method: 'GET', path: '/v1/node' },
  reloadTls: { method: 'POST', path: '/v1/node/reload-tls' },
  listEvents: { method: 'GET', path: '/v1/events' },
} as const satisfies Record<string, Route>;

export type OperationId = keyof typeof routes;
export const operationIds = Object.keys(routes) as OperationId[];
