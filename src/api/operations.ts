/** The one table of operations. The server's routes, the OpenAPI document and every client derive from it. */
import { Type, type Static, type TSchema } from 'typebox';
import type { ErrorCode } from '../errors.js';
import { NewPool, Node, Pool, PoolList, PoolParams } from './node-schemas.js';
import { routes, type OperationId, type Route } from './routes.js';
import {
  Access,
  AccessChange,
  AttachRequest,
  DetachRequest,
  EventList,
  EventQuery,
  HeaderFile,
  HeaderRestore,
  KeyName,
  LimitsChange,
  NewSnapshot,
  NewVolume,
  ResizeRequest,
  Snapshot,
  SnapshotList,
  SnapshotParams,
  Volume,
  VolumeKeyList,
  VolumeList,
  VolumeParams,
} from './schemas.js';

/** Takes no field at all. */
const Nothing = Type.Object({}, { additionalProperties: false });
type Nothing = typeof Nothing;
/** The answer has no body. */
const NoContent = Type.Unsafe<undefined>({ title: 'NoContent' });

export interface Operation<
  Params extends TSchema = TSchema,
  Query extends TSchema = TSchema,
  Body extends TSchema = TSchema,
  Response extends TSchema = TSchema,
> extends Route {
  tag: 'Volumes' | 'Keys' | 'Snapshots' | 'Pools' | 'Node';
  summary: string;
  description?: string;
  params: Params;
  query: Query;
  body: Body;
  /** Whether a request without a body is one with `{}`. */
  isBodyOptional: boolean;
  /** 202: what was asked for is under way. */
  status: 200 | 201 | 202 | 204;
  response: Response;
  /** Besides those that every operation can answer with. */
  errors: readonly ErrorCode[];
}

interface Declaration<
  Params extends TSchema,
  Query extends TSchema,
  Body extends TSchema,
  Response extends TSchema,
> extends Route {
  tag: Operation['tag'];
  summary: string;
  description?: string;
  params?: Params;
  query?: Query;
  body?: Body;
  status?: Operation['status'];
  response: Response;
  errors?: readonly ErrorCode[];
}

const keyErrors = [
  'volume-not-found',
  'volume-busy',
  'volume-attached',
  'volume-not-encrypted',
  'reencryption-running',
  'wrong-passphrase',
  'too-many-attempts',
  'key-unavailable',
  'header-damaged',
  'data-plane-unavailable',
] as const;

export const operations = {
  listVolumes: declare({
    ...routes.listVolumes,
    tag: 'Volumes',
    summary: 'List all volumes',
    response: VolumeList,
  }),
  createVolume: declare({
    ...routes.createVolume,
    tag: 'Volumes',
    summary: 'Create a thin volume, empty or as a clone of a snapshot',
    description:
      'It is detached at first and takes no space until it is written to. A clone can be written to like any other volume, outlives its parent, and shares data with it until it is flattened.',
    body: NewVolume,
    status: 201,
    response: Volume,
    errors: [
      'volume-exists',
      'volume-not-found',
      'volume-busy',
      'snapshot-not-found',
      'clone-other-file-system',
      'no-space',
      'data-plane-unavailable',
    ],
  }),
  getVolume: declare({
    ...routes.getVolume,
    tag: 'Volumes',
    summary: 'Show a volume',
    params: VolumeParams,
    response: Volume,
    errors: ['volume-not-found'],
  }),
  deleteVolume: declare({
    ...routes.deleteVolume,
    tag: 'Volumes',
    summary: 'Delete a volume and its snapshots',
    description:
      'Refused while it is attached. The data cannot be had back. Answers when its files are gone, or after a second: a large volume is in state `deleting` until then, and its name is taken.',
    params: VolumeParams,
    response: Volume,
    status: 202,
    errors: ['volume-not-found', 'volume-attached', 'data-plane-unavailable'],
  }),
  attachVolume: declare({
    ...routes.attachVolume,
    tag: 'Volumes',
    summary: 'Attach a volume',
    description:
      'Opens the volume and serves it; it stays attached, over restarts too, until it is detached. Attaching again in the same way answers with the URIs again; in another way it is refused: detach first.',
    params: VolumeParams,
    body: AttachRequest,
    response: Volume,
    errors: [
      'volume-not-found',
      'volume-attached',
      'volume-busy',
      'volume-locked',
      'volume-not-encrypted',
      'reencryption-running',
      'wrong-passphrase',
      'too-many-attempts',
      'key-unavailable',
      'header-damaged',
      'encryption-unsupported',
      'replica-missing',
      'replica-corrupt',
      'data-plane-unavailable',
    ],
  }),
  detachVolume: declare({
    ...routes.detachVolume,
    tag: 'Volumes',
    summary: 'Detach a volume',
    description:
      'Flushes and closes it. Detaching a detached volume succeeds and changes nothing, so that it can be repeated after a lost answer. Refused while clients are connected, unless forced.',
    params: VolumeParams,
    body: DetachRequest,
    response: Volume,
    errors: ['volume-not-found', 'volume-in-use', 'volume-busy', 'data-plane-unavailable'],
  }),
  resizeVolume: declare({
    ...routes.resizeVolume,
    tag: 'Volumes',
    summary: 'Grow a volume',
    description:
      'Attached or detached. Clients that are connected go on; whether they see the new size without connecting again is up to them. A volume cannot shrink.',
    params: VolumeParams,
    body: ResizeRequest,
    response: Volume,
    errors: ['volume-not-found', 'volume-busy', 'no-space', 'data-plane-unavailable'],
  }),
  limitVolume: declare({
    ...routes.limitVolume,
    tag: 'Volumes',
    summary: 'Limit what a volume may use',
    description:
      'Attached or detached. Takes effect at once, for requests that wait too. What is left out stays as it is; `null` takes a limit away, and its burst with it.',
    params: VolumeParams,
    body: LimitsChange,
    response: Volume,
    errors: ['volume-not-found', 'volume-busy', 'data-plane-unavailable'],
  }),
  getAccess: declare({
    ...routes.getAccess,
    tag: 'Volumes',
    summary: 'Show who may use a volume',
    params: VolumeParams,
    response: Access,
    errors: ['volume-not-found'],
  }),
  changeAccess: declare({
    ...routes.changeAccess,
    tag: 'Volumes',
    summary: 'Change who may use a volume',
    description:
      'Initiators, what they prove by CHAP, and whether both frontends may serve it. Holds for logins that begin later; what is left out stays as it is. Secrets are keys of the key providers.',
    params: VolumeParams,
    body: AccessChange,
    response: Access,
    errors: ['volume-not-found', 'volume-busy', 'key-unavailable', 'data-plane-unavailable'],
  }),
  flattenVolume: declare({
    ...routes.flattenVolume,
    tag: 'Volumes',
    summary: 'Detach a clone from its parent',
    description:
      'Copies what they share, in the background: `flatten.progress` tells how far it is, the event `flatten-finished` when it is done. Of a volume that is flattened already it changes nothing.',
    params: VolumeParams,
    response: Volume,
    errors: ['volume-not-found', 'volume-busy', 'volume-no-clone', 'no-space', 'data-plane-unavailable'],
  }),
  reencryptVolume: declare({
    ...routes.reencryptVolume,
    tag: 'Volumes',
    summary: 'Encrypt a volume with a new volume key',
    description:
      'Attached or detached; clients that are connected go on. In the background: `encryption.reencryption` tells how far it is, the event `reencryption-finished` when it is done. Until then no snapshot can be taken or reverted to. Key slots other than that of the passphrase of its own key are gone afterwards; older snapshots keep the older key, and theirs.',
    params: VolumeParams,
    response: Volume,
    errors: [
      'volume-not-found',
      'volume-busy',
      'volume-attached',
      'volume-not-encrypted',
      'reencryption-running',
      'wrong-passphrase',
      'too-many-attempts',
      'key-unavailable',
      'header-damaged',
      'encryption-unsupported',
      'no-space',
      'data-plane-unavailable',
    ],
  }),
  scrubVolume: declare({
    ...routes.scrubVolume,
    tag: 'Volumes',
    summary: 'Look for damaged data',
    description:
      'Reads all snapshots and compares them with their checksums, in the background: `scrub` tells how far it is and what it has found, the event `scrub-finished` when it is done.',
    params: VolumeParams,
    response: Volume,
    errors: ['volume-not-found', 'volume-busy', 'scrub-running', 'data-plane-unavailable'],
  }),
  listKeys: declare({
    ...routes.listKeys,
    tag: 'Keys',
    summary: "List an encrypted volume's key slots",
    description: 'As its header has them. No key is needed.',
    params: VolumeParams,
    response: VolumeKeyList,
    errors: ['volume-not-found', 'volume-busy', 'volume-not-encrypted', 'header-damaged', 'data-plane-unavailable'],
  }),
  addKey: declare({
    ...routes.addKey,
    tag: 'Keys',
    summary: 'Let one more passphrase open an encrypted volume',
    description: 'Attached or detached; clients go on. Adding a passphrase that opens it already changes nothing.',
    params: VolumeParams,
    body: KeyName,
    response: VolumeKeyList,
    errors: keyErrors,
  }),
  removeKey: declare({
    ...routes.removeKey,
    tag: 'Keys',
    summary: 'Let a passphrase open an encrypted volume no more',
    description:
      "Attached or detached; clients go on. Destroys every key slot that the passphrase opens. Refused for the volume's own key. Snapshots, clones and backups of the header keep the key slots of their time.",
    params: VolumeParams,
    body: KeyName,
    response: VolumeKeyList,
    errors: keyErrors,
  }),
  rotateKey: declare({
    ...routes.rotateKey,
    tag: 'Keys',
    summary: "Replace the passphrase of an encrypted volume's own key",
    description:
      'Attached or detached; clients go on. Adds a key slot for the new passphrase, makes that the key of the volume, then destroys the slots of the one before: at each moment the key of the volume opens it. The volume key stays: reencrypt gives it another one.',
    params: VolumeParams,
    body: KeyName,
    response: VolumeKeyList,
    errors: keyErrors,
  }),
  backupHeader: declare({
    ...routes.backupHeader,
    tag: 'Keys',
    summary: "Back up an encrypted volume's header",
    description:
      'With its key slots, as cryptsetup luksHeaderBackup does. Whoever has it and one of its passphrases can read the volume, also when that passphrase is removed later.',
    params: VolumeParams,
    body: HeaderFile,
    response: HeaderFile,
    errors: [
      'volume-not-found',
      'volume-busy',
      'volume-not-encrypted',
      'header-damaged',
      'file-exists',
      'no-space',
      'data-plane-unavailable',
    ],
  }),
  restoreHeader: declare({
    ...routes.restoreHeader,
    tag: 'Keys',
    summary: "Restore an encrypted volume's header from a backup",
    description: 'Of a detached volume. With it come the key slots of its time.',
    params: VolumeParams,
    body: HeaderRestore,
    response: Volume,
    errors: [
      'volume-not-found',
      'volume-busy',
      'volume-attached',
      'volume-not-encrypted',
      'reencryption-running',
      'header-damaged',
      'encryption-unsupported',
      'data-plane-unavailable',
    ],
  }),
  listSnapshots: declare({
    ...routes.listSnapshots,
    tag: 'Snapshots',
    summary: "List a volume's snapshots, oldest first",
    params: VolumeParams,
    response: SnapshotList,
    errors: ['volume-not-found'],
  }),
  createSnapshot: declare({
    ...routes.createSnapshot,
    tag: 'Snapshots',
    summary: 'Take a snapshot',
    description:
      'Of an attached volume without interrupting its clients: it holds every write that was acknowledged before.',
    params: VolumeParams,
    body: NewSnapshot,
    status: 201,
    response: Snapshot,
    errors: [
      'volume-not-found',
      'volume-busy',
      'snapshot-exists',
      'reencryption-running',
      'no-space',
      'data-plane-unavailable',
    ],
  }),
  getSnapshot: declare({
    ...routes.getSnapshot,
    tag: 'Snapshots',
    summary: 'Show a snapshot',
    params: SnapshotParams,
    response: Snapshot,
    errors: ['volume-not-found', 'snapshot-not-found'],
  }),
  deleteSnapshot: declare({
    ...routes.deleteSnapshot,
    tag: 'Snapshots',
    summary: 'Delete a snapshot',
    description:
      'Any one, also the newest. Gone at once; its space is given back in the background (event `merge-finished`). Refused while clients read it.',
    params: SnapshotParams,
    response: NoContent,
    status: 204,
    errors: ['volume-not-found', 'volume-busy', 'snapshot-not-found', 'snapshot-in-use', 'data-plane-unavailable'],
  }),
  revertSnapshot: declare({
    ...routes.revertSnapshot,
    tag: 'Snapshots',
    summary: "Make the volume's content that of a snapshot",
    description:
      'What was written since is lost unless a snapshot has it; all snapshots stay. The volume must be detached or attached for maintenance (frontend none), so that no client reads on from a cache.',
    params: SnapshotParams,
    response: Volume,
    errors: [
      'volume-not-found',
      'volume-attached',
      'volume-busy',
      'snapshot-not-found',
      'snapshot-busy',
      'reencryption-running',
      'data-plane-unavailable',
    ],
  }),
  listPools: declare({
    ...routes.listPools,
    tag: 'Pools',
    summary: 'List the pools of this node',
    response: PoolList,
  }),
  addPool: declare({
    ...routes.addPool,
    tag: 'Pools',
    summary: 'Add a directory, or a device that becomes an encrypted pool',
    description:
      'An encrypted device is formatted with LUKS2, opened through the kernel, gets a file system, and is mounted beneath the data directory; from then on that happens at the start of the service. Refused unless the device is blank and nobody uses it.',
    body: NewPool,
    status: 201,
    response: Pool,
    errors: [
      'pool-exists',
      'device-not-blank',
      'device-in-use',
      'device-mapper-unavailable',
      'permission-denied',
      'key-unavailable',
      'program-missing',
      'data-plane-unavailable',
    ],
  }),
  removePool: declare({
    ...routes.removePool,
    tag: 'Pools',
    summary: 'Remove a pool',
    description:
      'Refused while volumes live there. An encrypted device is unmounted and closed; what it holds stays there.',
    params: PoolParams,
    response: NoContent,
    status: 204,
    errors: ['pool-not-found', 'pool-in-use', 'device-in-use', 'data-plane-unavailable'],
  }),
  getNode: declare({
    ...routes.getNode,
    tag: 'Node',
    summary: 'Show this node: service, data-plane processes, pools',
    response: Node,
  }),
  reloadTls: declare({
    ...routes.reloadTls,
    tag: 'Node',
    summary: 'Read certificates and keys anew',
    description:
      'For clients that connect from now on; those that are connected go on. The settings themselves stay as they were.',
    response: NoContent,
    status: 204,
    errors: ['invalid-config', 'data-plane-unavailable'],
  }),
  listEvents: declare({
    ...routes.listEvents,
    tag: 'Node',
    summary: 'List or follow what happened recently',
    query: EventQuery,
    response: EventList,
  }),
};

export type Operations = typeof operations;

/** What an operation is given, valid by its schemas. */
export interface Input<Id extends OperationId> {
  params: Static<Operations[Id]['params']>;
  query: Static<Operations[Id]['query']>;
  body: Static<Operations[Id]['body']>;
}

export type Output<Id extends OperationId> = Static<Operations[Id]['response']>;

/** The implementation of all operations, which the server calls. */
export type Handlers = { [Id in OperationId]: (input: Input<Id>) => Promise<Output<Id>> };

function declare<
  R extends TSchema,
  P extends TSchema = Nothing,
  Q extends TSchema = Nothing,
  B extends TSchema = Nothing,
>({ params, query, body, status, errors, ...rest }: Declaration<P, Q, B, R>): Operation<P, Q, B, R> {
  return {
    ...rest,
    params: params ?? (Nothing as TSchema as P),
    query: query ?? (Nothing as TSchema as Q),
    body: body ?? (Nothing as TSchema as B),
    isBodyOptional: ((body as { required?: string[] } | undefined)?.required ?? []).length === 0,
    status: status ?? 200,
    errors: errors ?? [],
  };
}
