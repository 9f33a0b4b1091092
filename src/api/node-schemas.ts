/** What requests and responses about the node look like: its service, processes and pools. */
import { Type, type Static } from 'typebox';
import { bytes, closed, keyName, keyProvider, keyProviderDefault, name, nullable, time } from './schemas.js';

export const fileSystemDefault = 'ext4';

export const DataPlaneProcess = closed(
  {
    id: Type.String({ examples: ['node'] }),
    pid: Type.Integer(),
    started: time('When the process started.'),
    version: Type.String(),
    volumes: Type.Array(Type.String(), { description: 'Names of the volumes that it holds.' }),
  },
  { title: 'DataPlaneProcess' },
);

const fileSystem = (options: { default?: string; description: string }) => Type.Enum(['ext4', 'xfs'], options);

export const NewPool = closed(
  {
    name: Type.Optional(
      name("Unique on the node. Default of an encrypted pool: the last part of its device's path.", 'fast'),
    ),
    directory: Type.Optional(
      Type.String({ description: 'An absolute path of a directory that is there.', examples: ['/disks/a'] }),
    ),
    encryption: Type.Optional(
      closed(
        {
          device: Type.String({
            pattern: '^/dev/',
            'x-rule': 'must be the path of a block device, e.g. /dev/sdb',
            description: 'A blank block device. It is formatted.',
            examples: ['/dev/sdb'],
          }),
          provider: Type.Optional(keyProvider(`Who has the passphrase. ${keyProviderDefault} unless it is given.`)),
          key: Type.Optional(keyName("Under which name; of vault also a path. Default: the pool's.")),
          fileSystem: Type.Optional(fileSystem({ default: fileSystemDefault, description: 'What is made on it.' })),
        },
        { title: 'NewPoolEncryption', description: "A device of its own, encrypted by the kernel's dm-crypt." },
      ),
    ),
  },
  { title: 'NewPool', description: 'Either a directory or an encrypted device.' },
);
export type NewPool = Static<typeof NewPool>;

export const PoolParams = closed({ name: Type.String({ description: "The pool's name.", examples: ['fast'] }) });

export const Pool = closed(
  {
    name: nullable(Type.String({ description: 'Null: it is one of the configuration.', examples: ['fast'] })),
    directory: Type.String(),
    state: Type.Enum(['creating', 'ready', 'unavailable', 'removing'], {
      description: 'unavailable: `reason` says why. It is looked for again without being asked.',
    }),
    reason: nullable(Type.String({ description: 'Why it cannot be used now.' })),
    encryption: nullable(
      closed(
        {
          device: Type.String({ description: 'What it was called when it was added.', examples: ['/dev/sdb'] }),
          uuid: Type.String({ description: 'Of its LUKS2 header, by which it is found.', format: 'uuid' }),
          provider: Type.String({ description: 'Who has its passphrase.', examples: ['file'] }),
          key: Type.String({ description: 'Under which name.', examples: ['fast'] }),
          fileSystem: fileSystem({ description: 'What is on it.' }),
        },
        { description: 'The device that the kernel encrypts. Null: there is none.' },
      ),
    ),
    sizeBytes: nullable(bytes('Size of its file system. Null if the directory cannot be read.')),
    availableBytes: nullable(bytes('Of that, what is left for replicas.')),
  },
  { title: 'Pool' },
);

export type Pool = Static<typeof Pool>;

export const PoolList = closed({ pools: Type.Array(Pool) }, { title: 'PoolList' });

export const Node = closed(
  {
    host: Type.String({ description: 'Host name.' }),
    version: Type.String({ description: 'Version of the service.' }),
    pid: Type.Integer({ description: 'Process id of the service.' }),
    started: time('When the service started.'),
    isolation: Type.Enum(['node', 'volume'], {
      description: 'node: all volumes in one data-plane process. volume: each in its own.',
    }),
    processes: Type.Array(DataPlaneProcess),
    pools: Type.Array(Pool),
  },
  { title: 'Node' },
);
export type Node = Static<typeof Node>;
