/** Every setting of `cairn serve`: its type, default and meaning. File, variables, flags and `cairn config show` derive from it. */
import { Type, type Static, type TSchema } from 'typebox';

const port = (description: string, number: number) =>
  Type.Integer({ minimum: 0, maximum: 65_535, default: number, description: `${description} (0 picks a free one)` });
const address = (description: string) => Type.String({ minLength: 1, default: '127.0.0.1', description });
const count = (description: string, number: number) =>
  Type.Integer({ minimum: 1, maximum: 1_000_000, default: number, description });
/** Empty: none. */
const optionalPath = (description: string) => Type.String({ default: '', description, format: 'path' });
/** Empty: none. */
const optionalText = (description: string) => Type.String({ default: '', description });
const text = (description: string, value: string) => Type.String({ minLength: 1, default: value, description });
const directory = (description: string, path: string) =>
  Type.String({ minLength: 1, default: path, description, format: 'path' });

/** HOST or HOST:PORT, an IPv6 address in brackets. */
const portalPattern = String.raw`^(\[[0-9A-Fa-f:.]+\]|[^\s:\[\]]+)(:\d{1,5})?$`;

export const ConfigSchema = Type.Object({
  dataDirectory: directory('Records, logs and the default pool', '/var/lib/cairn'),
  runDirectory: directory('Sockets; keep it short, for the path of a socket has at most 107 bytes', '/run/cairn'),
  rest: Type.Object({
    host: address('Address of REST, Swagger UI and metrics'),
    port: port('Port of REST, Swagger UI and metrics', 9420),
  }),
  nbd: Type.Object({
    host: address('Address at which NBD clients connect'),
    port: port('Port at which NBD clients connect', 10_809),
    connectionsMax: count('NBD connections to a data-plane process at the same time', 4096),
    negotiationsMax: count('Of those, in the handshake', 1024),
    tls: Type.Object({
      mode: Type.Union([Type.Literal('off'), Type.Literal('on'), Type.Literal('require')], {
        default: 'off',
        description: 'Whether NBD is encrypted: never, for clients that ask for it, or for all',
      }),
      certificates: optionalPath('Directory with server-cert.pem, server-key.pem, ca-cert.pem and perhaps ca-crl.pem'),
      verifyPeer: Type.Boolean({ default: false, description: 'Whether clients need a certificate of the CA' }),
      pskFile: optionalPath('File of pre-shared keys, a line user:hexkey each'),
    }),
  }),
  iscsi: Type.Object({
    host: address('Address at which iSCSI initiators connect'),
    port: port('Port at which iSCSI initiators connect, while a volume is attached so', 3260),
    portals: Type.Array(Type.String({ minLength: 1, pattern: portalPattern }), {
      uniqueItems: true,
      default: [],
      description: 'Where initiators are told that targets are: HOST[:PORT] (default: where they have connected to)',
    }),
    connectionsMax: count('iSCSI connections to a data-plane process at the same time', 4096),
    loginsMax: count('Of those, not logged in yet', 256),
    discovery: Type.Object({
      user: optionalText('User of CHAP whom initiators must be to ask which targets there are'),
      secret: optionalText('Key that holds his secret, as PROVIDER:KEY or KEY'),
      mutualUser: optionalText('User of CHAP as whom the service answers initiators that ask for a proof'),
      mutualSecret: optionalText('Key that holds that secret'),
    }),
  }),
  pools: Type.Array(Type.String({ minLength: 1, format: 'path' }), {
    minItems: 1,
    uniqueItems: true,
    default: [],
    description: 'Directories in which replicas live (default: pool in the data directory)',
  }),
  lowSpacePercent: Type.Integer({
    minimum: 0,
    maximum: 90,
    default: 10,
    description: 'Of the size of a pool: with less left, an event and initiators are told (0: never)',
  }),
  isolation: Type.Union([Type.Literal('node'), Type.Literal('volume')], {
    default: 'node',
    description: 'One data-plane process for the node, or one for each attached volume',
  }),
  dataPlane: Type.Object({
    reactors: Type.Integer({ minimum: 1, maximum: 64, default: 1, description: 'I/O threads of a data-plane process' }),
    bufferMiB: Type.Integer({
      minimum: 4,
      maximum: 65_536,
      default: 64,
      description: 'I/O buffers of each reactor, in MiB',
    }),
  }),
  keys: Type.Object({
    directory: directory(
      'Passphrases of encrypted volumes: a file each, readable by its owner alone',
      '/etc/cairn/keys',
    ),
    command: optionalPath('Program that prints the passphrase of the key whose name is its argument'),
    vault: Type.Object({
      address: optionalText('URL of HashiCorp Vault; https, or http on this host'),
      namespace: optionalText('Namespace of Vault Enterprise'),
      caFile: optionalPath("Authorities of Vault's certificate in PEM, instead of those that Node knows"),
      tokenFile: optionalPath('File with a token of Vault, read on each use, readable by its owner alone'),
      approle: Type.Object({
        mount: text('Path of the AppRole auth method in Vault', 'approle'),
        roleId: optionalText('Role ID with which Cairn logs in, instead of a token file'),
        secretIdFile: optionalPath('File with the secret ID of the role, readable by its owner alone'),
      }),
      kv: Type.Object({
        mount: text('Path of the KV secrets engine in Vault', 'secret'),
        version: Type.Integer({ minimum: 1, maximum: 2, default: 2, description: 'Version of that engine' }),
        path: Type.String({ default: 'cairn', description: 'Where in it secrets have the names of keys' }),
        field: text('Field of a secret that holds the passphrase', 'passphrase'),
      }),
      transit: Type.Object({
        mount: text('Path of the transit secrets engine in Vault', 'transit'),
        key: text('Its key that decrypts passphrases', 'cairn'),
        directory: directory('Passphrases that transit has encrypted: a file each', '/etc/cairn/vault-transit'),
      }),
    }),
  }),
  log: Type.Object({
    level: Type.Union(
      (['debug', 'info', 'warn', 'error'] as const).map((level) => Type.Literal(level)),
      { default: 'info', description: 'The least important lines to log' },
    ),
  }),
});

export type Config = Static<typeof ConfigSchema>;
export type ConfigValue = string | number | boolean | string[];

/** One key: how each source spells it, and what it must be. */
export interface Setting {
  /** `rest.port` */
  key: string;
  /** `CAIRN_REST_PORT` */
  variable: string;
  /** `--rest-port` */
  flag: string;
  description: string;
  default: ConfigValue;
  schema: TSchema;
}

export const settings: readonly Setting[] = settingsOf(ConfigSchema, '');

interface ObjectSchema {
  properties: Record<string, TSchema>;
}

function settingsOf(schema: ObjectSchema, prefix: string): Setting[] {
  return Object.entries(schema.properties).flatMap(([name, child]) => {
    const key = `${prefix}${name}`;
    return 'properties' in child ? settingsOf(child as unknown as ObjectSchema, `${key}.`) : [settingOf(key, child)];
  });
}

function settingOf(key: string, schema: TSchema): Setting {
  const words = wordsOf(key);
  const annotated = schema as { description?: string; default?: ConfigValue };
  return {
    key,
    variable: `CAIRN_${words.join('_').toUpperCase()}`,
    flag: `--${words.join('-')}`,
    description: annotated.description ?? '',
    default: annotated.default ?? '',
    schema,
  };
}

/** `dataPlane.bufferMiB` -> data, plane, buffer, mib */
function wordsOf(key: string): string[] {
  const separated = key.replace('MiB', 'Mib').replaceAll(/[A-Z]/g, (letter) => `.${letter.toLowerCase()}`);
  return separated.split('.');
}
