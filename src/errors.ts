/**
 * The one catalogue of errors: what a caller can be told, and how each transport says it.
 *
 * Everything that can go wrong as expected is a {@link CairnError} with a code of this table; whatever else is thrown is a bug and
 * reaches callers as `internal`. The catalogue depends on nothing, so that every layer can use it.
 */

/** gRPC's status codes by name (https://grpc.github.io/grpc/core/md_doc_statuscodes.html). */
export type GrpcStatus =
  | 'INVALID_ARGUMENT'
  | 'NOT_FOUND'
  | 'ALREADY_EXISTS'
  | 'PERMISSION_DENIED'
  | 'RESOURCE_EXHAUSTED'
  | 'FAILED_PRECONDITION'
  | 'ABORTED'
  | 'OUT_OF_RANGE'
  | 'UNIMPLEMENTED'
  | 'INTERNAL'
  | 'UNAVAILABLE'
  | 'DATA_LOSS'
  | 'DEADLINE_EXCEEDED';

export interface CatalogueRow {
  /** The same for every occurrence (RFC 9457 `title`). */
  title: string;
  http: number;
  grpc: GrpcStatus;
  /** What to do about it, when whoever throws knows no better. A full sentence. */
  advice: string;
}

/** Codes are kebab-case and stable: clients match on them. Rows may be added, never renamed. */
export const catalogue = {
  // The request itself
  'invalid-request': row(
    'Invalid request',
    400,
    'INVALID_ARGUMENT',
    'Correct the named fields; /docs describes every request.',
  ),
  'malformed-body': row('Malformed body', 400, 'INVALID_ARGUMENT', 'Send one valid JSON document.'),
  'origin-refused': row(
    'Origin refused',
    403,
    'PERMISSION_DENIED',
    'Send changes from a page of this service, or from a program that sends no Origin.',
  ),
  'route-not-found': row('No such route', 404, 'UNIMPLEMENTED', 'See /docs for all routes.'),
  'method-not-allowed': row('Method not allowed', 405, 'UNIMPLEMENTED', 'Use one of the methods in the Allow header.'),
  'body-too-large': row('Body too large', 413, 'RESOURCE_EXHAUSTED', 'Send a smaller body.'),
  'unsupported-media-type': row(
    'Unsupported media type',
    415,
    'INVALID_ARGUMENT',
    'Send the body as application/json.',
  ),

  // Volumes
  'volume-not-found': row('Volume not found', 404, 'NOT_FOUND', 'List the volumes to see which exist.'),
  'volume-exists': row('Volume exists', 409, 'ALREADY_EXISTS', 'Choose another name, or delete the volume first.'),
  'volume-attached': row('Volume is attached', 409, 'FAILED_PRECONDITION', 'Detach the volume first.'),
  'volume-not-shared': row(
    'Volume is not shared',
    409,
    'FAILED_PRECONDITION',
    'Detach the volume first, or let several frontends serve it at once: cairn access set NAME --shared.',
  ),
  'volume-detached': row('Volume is detached', 409, 'FAILED_PRECONDITION', 'Attach the volume first.'),
  'volume-in-use': row(
    'Volume is in use',
    409,
    'FAILED_PRECONDITION',
    'Disconnect its clients first, or force the operation.',
  ),
  'volume-busy': row(
    'Volume is being created or deleted',
    409,
    'ABORTED',
    'Wait until its state changes, then try again.',
  ),
  'volume-locked': row(
    'Volume is open elsewhere',
    409,
    'FAILED_PRECONDITION',
    'End the other process that holds the replica, then try again.',
  ),
  'volume-faulted': row(
    'Volume is faulted',
    503,
    'UNAVAILABLE',
    'Show the volume for the reason; attach it again once that is mended.',
  ),

  'volume-no-clone': row(
    'Volume is no clone',
    409,
    'FAILED_PRECONDITION',
    'Only a volume that was created from a snapshot can be flattened.',
  ),

  // Snapshots
  'snapshot-not-found': row('Snapshot not found', 404, 'NOT_FOUND', "List the volume's snapshots to see which exist."),
  'snapshot-exists': row(
    'Snapshot exists',
    409,
    'ALREADY_EXISTS',
    'Choose another name, or delete the snapshot first.',
  ),
  'snapshot-busy': row(
    'Snapshot is being created or deleted',
    409,
    'ABORTED',
    'Wait until its state changes, then try again.',
  ),
  'snapshot-in-use': row(
    'Snapshot is in use',
    409,
    'FAILED_PRECONDITION',
    'Disconnect the clients that read it (VOLUME@SNAPSHOT) first.',
  ),
  'clone-other-file-system': row(
    'Clone in another file system',
    409,
    'FAILED_PRECONDITION',
    'A clone shares files with its parent: keep it in the same pool, or copy the snapshot with qemu-img convert.',
  ),
  'scrub-running': row(
    'Scrub is running',
    409,
    'ABORTED',
    'Wait until it has finished; show the volume for its progress.',
  ),

  // Encryption
  'wrong-passphrase': row(
    'Wrong passphrase',
    403,
    'PERMISSION_DENIED',
    'Let the key provider give the passphrase that one of its key slots was made with.',
  ),
  'too-many-attempts': row(
    'Too many wrong passphrases',
    429,
    'RESOURCE_EXHAUSTED',
    'Let the key provider give the right passphrase, and try again later.',
  ),
  'key-unavailable': row(
    'Key is not available',
    503,
    'UNAVAILABLE',
    'Make the key provider give it; the volume is attached as soon as it does.',
  ),
  'reencryption-running': row(
    'Volume is being re-encrypted',
    409,
    'ABORTED',
    'Wait until it has its new volume key; show the volume for its progress.',
  ),
  'volume-not-encrypted': row(
    'Volume is not encrypted',
    409,
    'FAILED_PRECONDITION',
    'Create one with --encrypt, and copy the data there.',
  ),
  'file-exists': row('File exists', 409, 'ALREADY_EXISTS', 'Choose another file: none is written over.'),
  'header-damaged': row(
    'LUKS2 header is damaged',
    500,
    'DATA_LOSS',
    'Restore a backup of it (cairn header restore VOLUME FILE), or a snapshot in which it is whole.',
  ),
  'encryption-unsupported': row(
    'Encryption is not supported',
    409,
    'FAILED_PRECONDITION',
    'Use aes-xts-plain64 with a key of 512 bits.',
  ),

  // Pools
  'pool-not-found': row('Pool not found', 404, 'NOT_FOUND', 'List the pools to see which exist.'),
  'pool-exists': row('Pool exists', 409, 'ALREADY_EXISTS', 'Choose another name, or remove the pool first.'),
  'pool-in-use': row('Pool is in use', 409, 'FAILED_PRECONDITION', 'Delete the volumes that live there first.'),
  'pool-unavailable': row(
    'Pool is not available',
    503,
    'UNAVAILABLE',
    'List the pools for the reason; its volumes are attached as soon as it is there.',
  ),
  'device-not-blank': row(
    'Device is not blank',
    409,
    'FAILED_PRECONDITION',
    'Name another device, or clear it with wipefs -a if nothing of it is needed.',
  ),
  'device-in-use': row('Device is in use', 409, 'FAILED_PRECONDITION', 'Free the device, or name another one.'),
  'device-mapper-unavailable': row(
    'Device-mapper is not available',
    409,
    'FAILED_PRECONDITION',
    'Load it with modprobe dm-crypt, or use a directory as the pool.',
  ),
  'program-missing': row('Program is missing', 503, 'FAILED_PRECONDITION', 'Install the program.'),

  // Replicas, exports, listeners: what the data plane says
  'replica-exists': row(
    'Replica exists',
    409,
    'ALREADY_EXISTS',
    'Use another directory, or remove the files there first.',
  ),
  'replica-missing': row(
    'Replica is missing',
    500,
    'DATA_LOSS',
    "Check that the pool's file system is mounted, then attach again.",
  ),
  'replica-corrupt': row(
    'Replica is corrupt',
    500,
    'DATA_LOSS',
    'Leave the files as they are and restore the volume from a copy.',
  ),
  'export-exists': row(
    'Export name is taken',
    409,
    'ALREADY_EXISTS',
    'Detach the volume that is exported under this name.',
  ),
  'export-not-found': row('Export not found', 404, 'NOT_FOUND', 'Attach the volume to export it.'),
  'no-space': row('No space left', 507, 'RESOURCE_EXHAUSTED', 'Free space in the pool, or add to it; then try again.'),
  'io-error': row('I/O error', 500, 'INTERNAL', 'Check the disk and the kernel log, then try again.'),
  'permission-denied': row(
    'Permission denied',
    500,
    'PERMISSION_DENIED',
    'Let the user that runs Cairn read and write the named path.',
  ),
  'address-in-use': row(
    'Address is in use',
    409,
    'ALREADY_EXISTS',
    'End what listens there, or configure another address.',
  ),
  'address-unavailable': row(
    'Address is not available',
    400,
    'FAILED_PRECONDITION',
    'Configure an address that this host has.',
  ),
  'io-uring-unavailable': row(
    'io_uring is not available',
    503,
    'FAILED_PRECONDITION',
    'Enable it: sysctl kernel.io_uring_disabled=0 on Linux 5.15 or newer.',
  ),
  'data-plane-unavailable': row(
    'Data plane is not available',
    503,
    'UNAVAILABLE',
    'It is restarted automatically; try again in a moment.',
  ),
  'data-plane-timeout': row(
    'Data plane did not answer in time',
    504,
    'DEADLINE_EXCEEDED',
    'The operation may still finish; look at its result before trying again.',
  ),

  // The store of records
  'store-locked': row(
    'Store is open elsewhere',
    503,
    'FAILED_PRECONDITION',
    'Stop the other `cairn serve` on this data directory, or use another one.',
  ),
  'store-corrupt': row(
    'Stored record is invalid',
    500,
    'DATA_LOSS',
    'Restore the data directory, or remove the named record.',
  ),
  'store-conflict': row('Record changed meanwhile', 409, 'ABORTED', 'Read it again, then repeat the change.'),
  'store-closed': row('Store is closed', 503, 'UNAVAILABLE', 'The service is stopping; try again once it runs.'),
  'revision-compacted': row(
    'Revision is compacted away',
    410,
    'OUT_OF_RANGE',
    'List again and watch from the revision of that list.',
  ),
  'lease-not-found': row('Lease not found', 404, 'NOT_FOUND', 'It expired or was revoked; take a new lease.'),

  // The service
  'invalid-config': row(
    'Invalid configuration',
    400,
    'INVALID_ARGUMENT',
    'Correct the named key; `cairn config show` prints what is in force.',
  ),
  'service-unavailable': row(
    'Service is not reachable',
    503,
    'UNAVAILABLE',
    'Check that `cairn serve` runs and listens at this address.',
  ),
  starting: row('Service is starting', 503, 'UNAVAILABLE', 'Try again in a moment.'),
  overloaded: row('Service is overloaded', 503, 'UNAVAILABLE', 'Try again in a moment.'),
  internal: row('Internal error', 500, 'INTERNAL', "This is a defect in Cairn; the service's log has the cause."),
} as const satisfies Record<string, CatalogueRow>;

export type ErrorCode = keyof typeof catalogue;

/** One wrong field of a request; `field` is a path such as `body.size`. */
export interface FieldError {
  field: string;
  detail: string;
}

export interface CairnErrorOptions {
  /** The field of the request that is to blame, if one is. */
  field?: string;
  /** How long to wait before trying again. */
  retryAfterSeconds?: number;
  /** All wrong fields, when a whole request was validated. */
  errors?: readonly FieldError[];
  cause?: unknown;
}

/** An expected error. `detail` is for people: what happened to what, and what to do next. */
export class CairnError extends Error {
  override readonly name = 'CairnError';
  readonly code: ErrorCode;
  readonly detail: string;
  readonly field: string | undefined;
  readonly errors: readonly FieldError[] | undefined;
  readonly retryAfterSeconds: number | undefined;

  constructor(code: ErrorCode, detail: string, options: CairnErrorOptions = {}) {
    super(detail, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.detail = detail;
    this.field = options.field;
    this.retryAfterSeconds = options.retryAfterSeconds;
    this.errors = options.errors ?? (options.field === undefined ? undefined : [{ field: options.field, detail }]);
  }

  get title(): string {
    return catalogue[this.code].title;
  }

  get httpStatus(): number {
    return catalogue[this.code].http;
  }

  get grpcStatus(): GrpcStatus {
    return catalogue[this.code].grpc;
  }
}

export function isErrorCode(code: unknown): code is ErrorCode {
  return typeof code === 'string' && Object.hasOwn(catalogue, code);
}

/** True for a `CairnError` with one of these codes. */
export function hasCode(error: unknown, ...codes: ErrorCode[]): error is CairnError {
  return error instanceof CairnError && codes.includes(error.code);
}

/** An error with the row's own advice behind what happened: for callers that know no better advice. */
export function catalogued(code: ErrorCode, what: string, options: CairnErrorOptions = {}): CairnError {
  return new CairnError(code, `${asSentence(what)} ${catalogue[code].advice}`, options);
}

/** The codes of the addon's errors and of the operating system's (`NativeErrorCode` in src/engine/native.ts). */
export const nativeErrorCodes: Readonly<Record<string, ErrorCode>> = {
  VOLUME_EXISTS: 'volume-exists',
  VOLUME_NOT_OPEN: 'volume-detached',
  VOLUME_LOCKED: 'volume-locked',
  VOLUME_IN_USE: 'volume-in-use',
  REPLICA_EXISTS: 'replica-exists',
  REPLICA_MISSING: 'replica-missing',
  REPLICA_CORRUPT: 'replica-corrupt',
  SNAPSHOT_EXISTS: 'snapshot-exists',
  SNAPSHOT_MISSING: 'snapshot-not-found',
  SNAPSHOT_IN_USE: 'snapshot-in-use',
  CLONE_OTHER_FILE_SYSTEM: 'clone-other-file-system',
  SCRUB_RUNNING: 'scrub-running',
  WRONG_KEY: 'wrong-passphrase',
  HEADER_DAMAGED: 'header-damaged',
  ENCRYPTION_UNSUPPORTED: 'encryption-unsupported',
  VOLUME_KEY_MISSING: 'key-unavailable',
  CIPHER_BROKEN: 'internal',
  DEVICE_IN_USE: 'device-in-use',
  DEVICE_MISSING: 'pool-unavailable',
  DEVICE_MAPPER_MISSING: 'device-mapper-unavailable',
  REENCRYPTION_RUNNING: 'reencryption-running',
  EXPORT_EXISTS: 'export-exists',
  EXPORT_MISSING: 'export-not-found',
  INVALID_ARGUMENT: 'invalid-request',
  CLOSED: 'data-plane-unavailable',
  IO_URING_UNAVAILABLE: 'io-uring-unavailable',
  ENOSPC: 'no-space',
  EDQUOT: 'no-space',
  EIO: 'io-error',
  EROFS: 'io-error',
  EEXIST: 'file-exists',
  EADDRINUSE: 'address-in-use',
  EADDRNOTAVAIL: 'address-unavailable',
  EACCES: 'permission-denied',
  EPERM: 'permission-denied',
  ENOMEM: 'overloaded',
  EMFILE: 'overloaded',
  ENFILE: 'overloaded',
};

/** Any thrown value as a catalogued error: itself, by its native or system `code`, else `internal`. */
export function toCairnError(error: unknown): CairnError {
  if (error instanceof CairnError) return error;
  const message = error instanceof Error ? error.message : String(error);
  const native = (error as { code?: unknown } | null | undefined)?.code;
  const code =
    typeof native === 'string' && Object.hasOwn(nativeErrorCodes, native) ? nativeErrorCodes[native] : undefined;
  return catalogued(code ?? 'internal', message, { cause: error });
}

/** The trailer of a gRPC call that carries the code; the status message carries the detail. */
export const grpcCodeTrailer = 'cairn-code';

/**
 * A gRPC error as a catalogued one. `trailer` is what `cairn-code` held; without a known one the peer never answered
 * as Cairn (`unavailable`, a deadline, a crash), and the status name decides.
 */
export function fromGrpc(trailer: string | undefined, status: string, message: string, cause?: unknown): CairnError {
  if (isErrorCode(trailer)) return new CairnError(trailer, message, { cause });
  return catalogued(codesOfStatus[status] ?? 'internal', message, { cause });
}

const codesOfStatus: Readonly<Record<string, ErrorCode>> = {
  UNAVAILABLE: 'data-plane-unavailable',
  CANCELLED: 'data-plane-unavailable',
  DEADLINE_EXCEEDED: 'data-plane-timeout',
  INVALID_ARGUMENT: 'invalid-request',
  RESOURCE_EXHAUSTED: 'overloaded',
};

function row(title: string, http: number, grpc: GrpcStatus, advice: string): CatalogueRow {
  return { title, http, grpc, advice };
}

function asSentence(text: string): string {
  return /[.!?]$/.test(text) ? text : `${text}.`;
}
