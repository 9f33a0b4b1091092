/** The one table of operations. The server's routes, the OpenAPI document and every client derive from it. */
import { Type, type Static, type TSchema } from 'typebox';
import type { ErrorCode } from '../errors.js';
import {
  AttachRequest,
  DetachRequest,
  EventList,
  EventQuery,
  NewSnapshot,
  NewVolume,
  Node,
  Snapshot,
  SnapshotList,
  SnapshotParams,
  Volume,
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
> {
  method: 'GET' | 'POST' | 'DELETE';
  /** With `:param` for each parameter. */
  path: string;
  tag: 'Volumes' | 'Snapshots' | 'Node';
  summary: string;
  description?: string;
  params: Params;
  query: Query;
  body: Body;
  /** Whether a request without a body is one with `{}`. */
  isBodyOptional: boolean;
  status: 200 | 201 | 204;
  response: Response;
  /** Besides those that every operation can answer with. */
  errors: readonly ErrorCode[];
}

interface Declaration<Params extends TSchema, Query extends TSchema, Body extends TSchema, Response extends TSchema> {
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

export const operations = {
  listVolumes: get('/v1/volumes', { tag: 'Volumes', summary: 'List all volumes', response: VolumeList }),
  createVolume: post('/v1/volumes', {
    tag: 'Volumes',
    summary: 'Create a thin volume',
    description: 'It is detached at first and takes no space until it is written to.',
    body: NewVolume,
    status: 201,
    response: Volume,
    errors: ['volume-exists', 'no-space', 'data-plane-unavailable'],
  }),
  getVolume: get('/v1/volumes/:name', {
    tag: 'Volumes',
    summary: 'Show a volume',
    params: VolumeParams,
    response: Volume,
    errors: ['volume-not-found'],
  }),
  deleteVolume: remove('/v1/volumes/:name', {
    tag: 'Volumes',
    summary: 'Delete a volume and its snapshots',
    description: 'Refused while it is attached. The data cannot be had back.',
    params: VolumeParams,
    response: NoContent,
    status: 204,
    errors: ['volume-not-found', 'volume-attached', 'data-plane-unavailable'],
  }),
  attachVolume: post('/v1/volumes/:name/attach', {
    tag: 'Volumes',
    summary: 'Attach a volume',
    description:
      'Opens the volume and serves it; it stays attached, over restarts too, until it is detached. Attaching again with the same frontend answers with the URIs again; with another one it is refused: detach first.',
    params: VolumeParams,
    body: AttachRequest,
    response: Volume,
    errors: [
      'volume-not-found',
      'volume-attached',
      'volume-busy',
      'volume-locked',
      'replica-missing',
      'replica-corrupt',
      'data-plane-unavailable',
    ],
  }),
  detachVolume: post('/v1/volumes/:name/detach', {
    tag: 'Volumes',
    summary: 'Detach a volume',
    description:
      'Flushes and closes it. Detaching a detached volume succeeds and changes nothing, so that it can be repeated after a lost answer. Refused while clients are connected, unless forced.',
    params: VolumeParams,
    body: DetachRequest,
    response: Volume,
    errors: ['volume-not-found', 'volume-in-use', 'volume-busy', 'data-plane-unavailable'],
  }),
  listSnapshots: get('/v1/volumes/:name/snapshots', {
    tag: 'Snapshots',
    summary: "List a volume's snapshots, oldest first",
    params: VolumeParams,
    response: SnapshotList,
    errors: ['volume-not-found'],
  }),
  createSnapshot: post('/v1/volumes/:name/snapshots', {
    tag: 'Snapshots',
    summary: 'Take a snapshot',
    description:
      'Of an attached volume without interrupting its clients: it holds every write that was acknowledged before.',
    params: VolumeParams,
    body: NewSnapshot,
    status: 201,
    response: Snapshot,
    errors: ['volume-not-found', 'volume-busy', 'snapshot-exists', 'no-space', 'data-plane-unavailable'],
  }),
  getSnapshot: get('/v1/volumes/:name/snapshots/:snapshot', {
    tag: 'Snapshots',
    summary: 'Show a snapshot',
    params: SnapshotParams,
    response: Snapshot,
    errors: ['volume-not-found', 'snapshot-not-found'],
  }),
  deleteSnapshot: remove('/v1/volumes/:name/snapshots/:snapshot', {
    tag: 'Snapshots',
    summary: 'Delete a snapshot',
    description: 'Gone at once; its space is given back in the background (event `merge-finished`).',
    params: SnapshotParams,
    response: NoContent,
    status: 204,
    errors: ['volume-not-found', 'volume-busy', 'snapshot-not-found', 'data-plane-unavailable'],
  }),
  revertSnapshot: post('/v1/volumes/:name/snapshots/:snapshot/revert', {
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
      'data-plane-unavailable',
    ],
  }),
  getNode: get('/v1/node', {
    tag: 'Node',
    summary: 'Show this node: service, data-plane processes, pools',
    response: Node,
  }),
  listEvents: get('/v1/events', {
    tag: 'Node',
    summary: 'List or follow what happened recently',
    query: EventQuery,
    response: EventList,
  }),
};

export type Operations = typeof operations;
export type OperationId = keyof Operations;
export const operationIds = Object.keys(operations) as OperationId[];

/** What an operation is given, valid by its schemas. */
export interface Input<Id extends OperationId> {
  params: Static<Operations[Id]['params']>;
  query: Static<Operations[Id]['query']>;
  body: Static<Operations[Id]['body']>;
}

export type Output<Id extends OperationId> = Static<Operations[Id]['response']>;

/** The implementation of all operations, which the server calls. */
export type Handlers = { [Id in OperationId]: (input: Input<Id>) => Promise<Output<Id>> };

type Declared<P extends TSchema, Q extends TSchema, B extends TSchema, R extends TSchema> = Declaration<P, Q, B, R>;

function get<R extends TSchema, P extends TSchema = Nothing, Q extends TSchema = Nothing>(
  path: string,
  declared: Declared<P, Q, Nothing, R>,
) {
  return declare('GET', path, declared);
}

function post<R extends TSchema, P extends TSchema = Nothing, B extends TSchema = Nothing>(
  path: string,
  declared: Declared<P, Nothing, B, R>,
) {
  return declare('POST', path, declared);
}

function remove<R extends TSchema, P extends TSchema = Nothing>(
  path: string,
  declared: Declared<P, Nothing, Nothing, R>,
) {
  return declare('DELETE', path, declared);
}

function declare<P extends TSchema, Q extends TSchema, B extends TSchema, R extends TSchema>(
  method: Operation['method'],
  path: string,
  { params, query, body, status, errors, ...rest }: Declared<P, Q, B, R>,
): Operation<P, Q, B, R> {
  return {
    ...rest,
    method,
    path,
    params: params ?? (Nothing as TSchema as P),
    query: query ?? (Nothing as TSchema as Q),
    body: body ?? (Nothing as TSchema as B),
    isBodyOptional: ((body as { required?: string[] } | undefined)?.required ?? []).length === 0,
    status: status ?? 200,
    errors: errors ?? [],
  };
}
