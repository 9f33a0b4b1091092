/** What requests and responses look like. Lengths are in bytes, times in ISO 8601 with milliseconds, UTC. */
import { Type, type Static, type TProperties } from 'typebox';
import { sizePattern } from './size.js';

export const namePattern = '^[a-z0-9][a-z0-9._-]{0,62}$';
export const keyPattern = '^[a-z0-9][a-z0-9._-]{0,62}(/[a-z0-9][a-z0-9._-]{0,62}){0,7}$';
/** Whose keys may be paths. */
export const pathKeyProviders: readonly string[] = ['vault'];
export const sizeStepBytes = 4096;
export const sizeMaxBytes = 64 * 2 ** 40;
export const blockSizeDefault = 4096;
export const cacheModeDefault = 'none';
export const frontendDefault = 'nbd';
export const keyProviderDefault = 'file';
export const iopsMax = 1_000_000_000;
export const bandwidthMinBytes = 4096;
export const bandwidthMaxBytes = 2 ** 40;
export const burstSecondsMax = 3600;
export const burstSecondsDefault = 60;

const nameRule =
  'must be 1 to 63 characters: lower-case letters, digits, ".", "_" and "-", beginning with a letter or digit';
const keyRule =
  'must be 1 to 63 lower-case letters, digits, ".", "_" and "-", beginning with a letter or digit, or up to 8 of these with "/" between them';
const sizeRule = 'must be a whole number of bytes, or a number with a unit such as "10GiB"';

export const nullable = <Properties extends Parameters<typeof Type.Union>[0][number]>(schema: Properties) =>
  Type.Union([schema, Type.Null()]);
/** An object that takes no other field than these. */
export const closed = <Properties extends TProperties>(
  properties: Properties,
  options: { title?: string; description?: string } = {},
) => Type.Object(properties, { ...options, additionalProperties: false });

/** `x-rule` is what a value that breaks the pattern is told. */
export const name = (description: string, example: string) =>
  Type.String({ pattern: namePattern, 'x-rule': nameRule, description, examples: [example] });
export const bytes = (description: string) => Type.Integer({ minimum: 0, description });
export const time = (description: string) => Type.String({ format: 'date-time', description });

const blockSize = Type.Enum([512, 4096], {
  default: blockSizeDefault,
  description: 'Logical block size that clients see.',
});
const cacheMode = Type.Enum(['none', 'writeback', 'writethrough'], {
  default: cacheModeDefault,
  description:
    'As qemu names them. none: direct I/O. writeback: page cache, durable at flush. writethrough: page cache for reads, every write durable before its reply.',
});
const frontend = Type.Enum(['nbd', 'iscsi', 'none'], {
  default: frontendDefault,
  description:
    'nbd, iscsi: what clients speak; of a shared volume both, one attached after the other. none: maintenance, open but served to nobody.',
});

export const VolumeParams = closed({ name: Type.String({ description: "The volume's name.", examples: ['db'] }) });
export const SnapshotParams = closed({
  name: Type.String({ description: "The volume's name.", examples: ['db'] }),
  snapshot: Type.String({ description: "The snapshot's name.", examples: ['before-upgrade'] }),
});

const size = (description: string) =>
  Type.Unsafe<number | string>({
    type: ['integer', 'string'],
    pattern: sizePattern,
    'x-rule': sizeRule,
    description: `${description} Bytes, or a number with a unit (KiB, MiB, GiB, TiB). A multiple of ${sizeStepBytes}, at most 64TiB.`,
    examples: ['10GiB', 10737418240],
  });

const bandwidthRule = 'must be a whole number of bytes a second, a number with a unit such as "100MiB", or null';
const change = <Value>(schema: object, description: string) =>
  Type.Optional(Type.Unsafe<Value | null>({ ...schema, description: `${description} Null: none.` }));
const iopsChange = (description: string) =>
  change<number>({ type: ['integer', 'null'], minimum: 1, maximum: iopsMax, examples: [500] }, description);
const bandwidthChange = (description: string) =>
  change<number | string>(
    { type: ['integer', 'string', 'null'], pattern: sizePattern, 'x-rule': bandwidthRule, examples: ['100MiB'] },
    `${description} Bytes, or a number with a unit (KiB, MiB, GiB, TiB).`,
  );

/** What is left out stays as it is. */
export const LimitsChange = closed(
  {
    iops: iopsChange('Operations a second: reads, writes, trims and write-zeroes.'),
    iopsBurst: iopsChange('Operations a second while a burst lasts; more than `iops`.'),
    bandwidth: bandwidthChange('Bytes a second, of reads and writes together.'),
    bandwidthBurst: bandwidthChange('Bytes a second while a burst lasts; more than `bandwidth`.'),
    burstSeconds: change<number>(
      { type: ['integer', 'null'], minimum: 1, maximum: burstSecondsMax, examples: [burstSecondsDefault] },
      `How long a volume that has rested may burst. ${burstSecondsDefault} unless it is given.`,
    ),
  },
  { title: 'LimitsChange', description: 'What is left out stays as it is.' },
);
export type LimitsChange = Static<typeof LimitsChange>;

const limit = (description: string) => nullable(Type.Integer({ minimum: 1, description }));

export const Limits = closed(
  {
    iops: limit('Operations a second.'),
    iopsBurst: limit('Operations a second while a burst lasts.'),
    bandwidth: limit('Bytes a second.'),
    bandwidthBurst: limit('Bytes a second while a burst lasts.'),
    burstSeconds: limit('How long a volume that has rested may burst.'),
  },
  { title: 'Limits', description: 'What it may use. Null: no limit, or no bursts.' },
);

export const keyProvider = (description: string) =>
  Type.Enum(['file', 'credential', 'command', 'vault', 'vault-transit'], { description });

/** Segments like names, with "/" between them. */
export const keyName = (description: string) =>
  Type.String({ pattern: keyPattern, 'x-rule': keyRule, description, examples: ['db'] });

export const NewEncryption = closed(
  {
    provider: Type.Optional(
      keyProvider(
        'Who has the passphrase. file: a file in the directory `keys.directory`, the default. credential: systemd (`LoadCredential=`). command: the program `keys.command` prints it. vault: a secret of its KV engine. vault-transit: a file in `keys.vault.transit.directory`, which its transit engine decrypts.',
      ),
    ),
    key: Type.Optional(keyName("Under which name; of vault also a path. Default: the volume's.")),
    allowDiscards: Type.Optional(
      Type.Boolean({
        default: true,
        description: 'Whether trims give space back, which shows where nothing is stored.',
      }),
    ),
  },
  { title: 'NewEncryption', description: 'Encrypt it: LUKS2, aes-xts-plain64.' },
);

/** A passphrase, by who has it. */
export const KeyName = closed(
  {
    provider: Type.Optional(keyProvider(`Who has the passphrase. ${keyProviderDefault} unless it is given.`)),
    key: keyName('Under which name; of vault also a path.'),
  },
  { title: 'KeyName' },
);
export type KeyName = Static<typeof KeyName>;

const initiatorPattern = '^(iqn\\.[0-9]{4}-[0-9]{2}\\.[^\\s,]+|eui\\.[0-9A-Fa-f]{16}|naa\\.[0-9A-Fa-f]{16,32})$';
const initiator = Type.String({
  pattern: initiatorPattern,
  maxLength: 223,
  'x-rule': 'must be an iSCSI name such as "iqn.1993-08.org.debian:01:web"',
  examples: ['iqn.1993-08.org.debian:01:web'],
});
const chapUser = (description: string) =>
  closed(
    {
      user: Type.String({ minLength: 1, maxLength: 255, description: 'Name.', examples: ['web'] }),
      secret: { ...KeyName, description: 'Where the secret is: 12 to 255 bytes.' },
    },
    { description },
  );
const accessProperties = {
  initiators: Type.Array(initiator, {
    uniqueItems: true,
    maxItems: 256,
    description: 'iSCSI names of the initiators that may log in; none: every one.',
  }),
  chap: nullable(chapUser('What an initiator proves by CHAP. Null: nothing.')),
  mutual: nullable(chapUser('What is proven to an initiator that asks. Null: nothing.')),
  shared: Type.Boolean({ description: 'Whether NBD and iSCSI may serve the volume at the same time.' }),
};
export const Access = closed(accessProperties, { title: 'Access' });
export type Access = Static<typeof Access>;

export const AccessChange = closed(
  {
    initiators: Type.Optional(accessProperties.initiators),
    chap: Type.Optional(accessProperties.chap),
    mutual: Type.Optional(accessProperties.mutual),
    shared: Type.Optional(accessProperties.shared),
  },
  { title: 'AccessChange' },
);
export type AccessChange = Static<typeof AccessChange>;

export const VolumeKeyList = closed(
  {
    uuid: Type.String({ description: 'Of the LUKS2 header; clones have that of their parent.' }),
    cipher: Type.String({ examples: ['aes-xts-plain64'] }),
    keyBits: Type.Integer({ description: 'Of the volume key.' }),
    sectorSize: Type.Integer({ description: "The cipher's sectors, in bytes." }),
    provider: Type.String({ description: "Who has the passphrase of the volume's own key.", examples: ['file'] }),
    key: Type.String({ description: 'Under which name.', examples: ['db'] }),
    keySlots: Type.Array(
      closed({
        number: Type.Integer({ minimum: 0 }),
        derivation: Type.String({ examples: ['argon2id'] }),
        memoryKib: Type.Integer({ minimum: 0, description: 'What a guess takes. 0 of pbkdf2.' }),
        iterations: Type.Integer({ minimum: 0 }),
      }),
      { description: 'Each opens with one passphrase; nobody knows whose.' },
    ),
  },
  { title: 'VolumeKeyList' },
);
export type VolumeKeyList = Static<typeof VolumeKeyList>;

const headerFile = (description: string) =>
  Type.String({ minLength: 1, maxLength: 4096, description, examples: ['/root/db.luks2'] });

export const HeaderFile = closed(
  { file: headerFile('An absolute path on the node that the volume is on. None is written over.') },
  { title: 'HeaderFile' },
);
export type HeaderFile = Static<typeof HeaderFile>;

export const HeaderRestore = closed(
  {
    file: headerFile('An absolute path on the node that the volume is on.'),
    force: Type.Optional(
      Type.Boolean({
        default: false,
        description: 'Also where the present header is readable and of another volume, or has another volume key.',
      }),
    ),
  },
  { title: 'HeaderRestore' },
);
export type HeaderRestore = Static<typeof HeaderRestore>;

export const NewVolume = closed(
  {
    name: name('Unique in the cluster.', 'db'),
    size: Type.Optional(size("Needed unless it is a clone; a clone's may be larger than its parent's, its default.")),
    source: Type.Optional(
      closed(
        {
          volume: Type.String({ description: 'The parent.', examples: ['db'] }),
          snapshot: Type.String({ description: 'A snapshot of it.', examples: ['before-upgrade'] }),
        },
        { title: 'CloneSource', description: 'What to clone. The clone shares its data until it is flattened.' },
      ),
    ),
    blockSize: Type.Optional(blockSize),
    cacheMode: Type.Optional(cacheMode),
    limits: Type.Optional(LimitsChange),
    encryption: Type.Optional(NewEncryption),
    shared: Type.Optional(
      Type.Boolean({
        description: "Both frontends may serve it at the same time. Default: no; a clone's: as its parent.",
      }),
    ),
  },
  { title: 'NewVolume' },
);
export type NewVolume = Static<typeof NewVolume>;

const progress = (description: string) => Type.Number({ minimum: 0, maximum: 1, description });

export const Scrub = closed(
  {
    state: Type.Enum(['running', 'finished', 'stopped'], {
      description: 'stopped: it was ended before it had seen everything.',
    }),
    progress: progress('How much of it is done.'),
    blocksChecked: Type.Integer({
      minimum: 0,
      description: 'Blocks of 4 KiB that were compared with their checksums.',
    }),
    blocksDamaged: Type.Integer({ minimum: 0, description: 'Those that are not what was written.' }),
    blocksUnverified: Type.Integer({
      minimum: 0,
      description: 'Those without a checksum: checksums are made when a snapshot freezes the data.',
    }),
    repaired: Type.Integer({ minimum: 0, description: 'Damages that were mended.' }),
    findings: Type.Array(Type.String(), { description: 'The first of them, in words.' }),
    ended: nullable(time('When it ended. Null while it runs, and until its result is kept.')),
  },
  { title: 'Scrub' },
);
export type Scrub = Static<typeof Scrub>;

export const volumeStates = ['creating', 'detached', 'attached', 'faulted', 'deleting'] as const;

export const Volume = closed(
  {
    name: name('Unique in the cluster.', 'db'),
    id: Type.String({ format: 'uuid' }),
    size: bytes('Size that clients see.'),
    blockSize,
    cacheMode,
    state: Type.Enum([...volumeStates], {
      description: 'faulted: it is not as it should be, `reason` says why. It is retried without being asked.',
    }),
    reason: nullable(Type.String({ description: 'Why the volume is faulted.' })),
    frontend: nullable(
      Type.Enum(['nbd', 'iscsi', 'both', 'none'], { description: 'How it is attached; null when it is detached.' }),
    ),
    shared: Type.Boolean({ description: 'Whether NBD and iSCSI may serve it at the same time.' }),
    raw: Type.Boolean({ description: 'Whether clients get the ciphertext of an encrypted volume.' }),
    readOnly: Type.Boolean({ description: 'Whether clients cannot write.' }),
    uris: Type.Array(Type.String(), {
      description: 'Where clients reach it, the one to use first. Empty unless it is served.',
      examples: [['nbd://127.0.0.1:10809/db'], ['iscsi://127.0.0.1:3260/iqn.2026-11.io.cairn:db/0']],
    }),
    clients: Type.Integer({ minimum: 0, description: 'Connected clients.' }),
    limits: Limits,
    encryption: nullable(
      closed(
        {
          provider: Type.String({ description: 'Who has its passphrase.', examples: ['file'] }),
          key: Type.String({ description: 'Under which name.', examples: ['db'] }),
          allowDiscards: Type.Boolean({ description: 'Whether trims give space back.' }),
          reencryption: nullable(
            closed(
              {
                progress: progress('How much of it has its new volume key.'),
                problem: nullable(Type.String({ description: 'Why it waits. Null while it does not.' })),
              },
              { description: 'While it is being encrypted with a new volume key.' },
            ),
          ),
        },
        { description: 'How it is encrypted. Null: it is not.' },
      ),
    ),
    allocatedBytes: nullable(
      bytes('Space its data takes, snapshots and what it shares with others included. Null if that cannot be read.'),
    ),
    source: nullable(
      closed({
        volume: Type.String(),
        snapshot: Type.String(),
        linked: Type.Boolean({ description: 'Whether it still shares data with it. Flattening ends that.' }),
      }),
    ),
    flatten: nullable(
      closed(
        {
          progress: progress('How much is copied.'),
          problem: nullable(Type.String({ description: 'Why it waits. Null while it does not.' })),
        },
        { description: 'While it is being detached from its source.' },
      ),
    ),
    scrub: nullable({ ...Scrub, description: 'The scrub that runs, or the last one. Null if there was none.' }),
    deletion: nullable(
      closed(
        { progress: progress('How much of its space is given back.') },
        { description: 'While its files are being removed.' },
      ),
    ),
    snapshotCount: Type.Integer({ minimum: 0 }),
    created: time('When it was created.'),
  },
  { title: 'Volume' },
);
export type Volume = Static<typeof Volume>;

export const VolumeList = closed({ volumes: Type.Array(Volume) }, { title: 'VolumeList' });
export type VolumeList = Static<typeof VolumeList>;

export const ResizeRequest = closed({ size: size('More than it has.') }, { title: 'ResizeRequest' });
export type ResizeRequest = Static<typeof ResizeRequest>;

export const AttachRequest = closed(
  {
    frontend: Type.Optional(frontend),
    raw: Type.Optional(
      Type.Boolean({
        default: false,
        description: 'Serve the ciphertext of an encrypted volume, its LUKS2 header first. No key is needed.',
      }),
    ),
    readOnly: Type.Optional(Type.Boolean({ default: false, description: 'Clients cannot write.' })),
  },
  { title: 'AttachRequest' },
);
export type AttachRequest = Static<typeof AttachRequest>;

export const DetachRequest = closed(
  {
    force: Type.Optional(
      Type.Boolean({
        default: false,
        description: 'Disconnect the clients that are connected. Without it they are a reason to refuse.',
      }),
    ),
    frontend: Type.Optional(
      Type.Enum(['nbd', 'iscsi'], {
        description:
          'End this one only; the other goes on serving the volume. Left out: all, and the volume is closed.',
      }),
    ),
  },
  { title: 'DetachRequest' },
);
export type DetachRequest = Static<typeof DetachRequest>;

export const NewSnapshot = closed(
  { name: Type.Optional(name('Unique in the volume. Default: the time, e.g. 20250131-235959-000.', 'before-upgrade')) },
  { title: 'NewSnapshot' },
);
export type NewSnapshot = Static<typeof NewSnapshot>;

export const Snapshot = closed(
  {
    name: name('Unique in the volume.', 'before-upgrade'),
    id: Type.String({ format: 'uuid' }),
    volume: Type.String({ description: "The volume's name." }),
    state: Type.Enum(['creating', 'ready', 'deleting']),
    created: time('When it was asked for.'),
    allocatedBytes: nullable(bytes('Space its own data takes. Null if that cannot be read.')),
    parent: nullable(Type.String({ description: 'The snapshot it builds on. Null if there is none.' })),
    shared: Type.Boolean({ description: 'Whether a clone shares its data.' }),
    checksummed: Type.Boolean({ description: 'Whether a scrub can verify it.' }),
    mergeProgress: nullable(
      progress('While it is being deleted: how much of it is merged into the layer above. Else null.'),
    ),
    uris: Type.Array(Type.String(), {
      description: 'Where clients can read it, the one to use first. Empty unless its volume is served.',
      examples: [['nbd://127.0.0.1:10809/db@before-upgrade']],
    }),
  },
  { title: 'Snapshot' },
);
export type Snapshot = Static<typeof Snapshot>;

export const SnapshotList = closed({ snapshots: Type.Array(Snapshot) }, { title: 'SnapshotList' });
export type SnapshotList = Static<typeof SnapshotList>;

export const Event = closed(
  {
    id: Type.Integer({ description: 'Counts up while the service runs.' }),
    time: time('When it happened.'),
    kind: Type.String({ examples: ['volume-attached', 'process-died', 'no-space'] }),
    volume: nullable(Type.String()),
    process: nullable(Type.String({ description: 'The data-plane process concerned.' })),
    message: Type.String(),
  },
  { title: 'Event' },
);
export type Event = Static<typeof Event>;

export const EventList = closed(
  { events: Type.Array(Event, { description: 'Oldest first.' }) },
  { title: 'EventList' },
);
export type EventList = Static<typeof EventList>;

export const EventQuery = closed({
  follow: Type.Optional(
    Type.Boolean({
      description:
        'Answer with server-sent events: the recent ones, then each as it happens (`Last-Event-ID` is honoured).',
    }),
  ),
  volume: Type.Optional(Type.String({ description: 'Only events of this volume.' })),
});
export type EventQuery = Static<typeof EventQuery>;

/** RFC 9457. */
export const Problem = Type.Object(
  {
    type: Type.String({ description: 'A URI that names the kind of problem.' }),
    title: Type.String(),
    status: Type.Integer(),
    detail: Type.String({ description: 'What happened to what, and what to do.' }),
    code: Type.String({ description: 'Stable: match on this.', examples: ['volume-not-found'] }),
    errors: Type.Optional(
      Type.Array(Type.Object({ field: Type.String(), detail: Type.String() }), {
        description: 'Each wrong or unknown field.',
      }),
    ),
  },
  { title: 'Problem' },
);
export type Problem = Static<typeof Problem>;
