import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { loadConfig, type LoadedConfig } from '../../src/config/config.js';
import { settings } from '../../src/config/schema.js';
import { CairnError } from '../../src/errors.js';

let directory: string;
let file: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'cairn-config-'));
  file = join(directory, 'cairn.yaml');
});
afterEach(() => rmSync(directory, { recursive: true }));

describe('sources', () => {
  it('give the defaults when they say nothing', () => {
    expect(load('').config).toEqual({
      dataDirectory: '/var/lib/cairn',
      runDirectory: '/run/cairn',
      rest: { host: '127.0.0.1', port: 9420 },
      nbd: {
        host: '127.0.0.1',
        port: 10809,
        connectionsMax: 4096,
        negotiationsMax: 1024,
        tls: { mode: 'off', certificates: '', verifyPeer: false, pskFile: '' },
      },
      iscsi: {
        host: '127.0.0.1',
        port: 3260,
        portals: [],
        connectionsMax: 4096,
        loginsMax: 256,
        discovery: { user: '', secret: '', mutualUser: '', mutualSecret: '' },
      },
      pools: ['/var/lib/cairn/pool'],
      lowSpacePercent: 10,
      isolation: 'node',
      dataPlane: { reactors: 1, bufferMiB: 64 },
      keys: {
        directory: '/etc/cairn/keys',
        command: '',
        vault: {
          address: '',
          namespace: '',
          caFile: '',
          tokenFile: '',
          approle: { mount: 'approle', roleId: '', secretIdFile: '' },
          kv: { mount: 'secret', version: 2, path: 'cairn', field: 'passphrase' },
          transit: { mount: 'transit', key: 'cairn', directory: '/etc/cairn/vault-transit' },
        },
      },
      log: { level: 'info' },
    });
  });

  it('win in the order flag, variable, file, default, and are named as the origin', () => {
    const yaml = 'rest:\n  port: 1\n';
    const environment = { CAIRN_REST_PORT: '2' };
    expect(originOf('rest.port', load(''))).toEqual([9420, 'default']);
    expect(originOf('rest.port', load(yaml))).toEqual([1, `${file}, line 2`]);
    expect(originOf('rest.port', load(yaml, environment))).toEqual([2, 'variable CAIRN_REST_PORT']);
    expect(originOf('rest.port', load(yaml, environment, { 'rest.port': '3' }))).toEqual([3, 'flag --rest-port']);
  });

  it('can all set every key', () => {
    const variables = settings.map(({ variable }) => variable);
    expect(variables).toContain('CAIRN_DATA_PLANE_BUFFER_MIB');
    expect(new Set(variables).size).toBe(settings.length);
    expect(load('dataPlane:\n  bufferMiB: 128\n').config.dataPlane.bufferMiB).toBe(128);
    expect(load('', { CAIRN_DATA_PLANE_BUFFER_MIB: '32' }).config.dataPlane.bufferMiB).toBe(32);
  });

  it('reach into sections of sections', () => {
    const { tls } = load('nbd:\n  tls:\n    mode: require\n    certificates: tls\n', {
      CAIRN_NBD_TLS_VERIFY_PEER: 'true',
    }).config.nbd;
    expect(tls).toEqual({ mode: 'require', certificates: join(directory, 'tls'), verifyPeer: true, pskFile: '' });
  });

  it('do not count when a variable is empty', () => {
    expect(originOf('rest.port', load('', { CAIRN_REST_PORT: '' }))).toEqual([9420, 'default']);
  });

  it('give relative paths from where they are written', () => {
    expect(load('dataDirectory: data\n').config.dataDirectory).toBe(join(directory, 'data'));
    expect(load('', { CAIRN_DATA_DIRECTORY: 'data' }).config.dataDirectory).toBe(join(process.cwd(), 'data'));
    expect(load('', { CAIRN_POOLS: '/a, b' }).config.pools).toEqual(['/a', join(process.cwd(), 'b')]);
  });

  it('put the default pool into the data directory', () => {
    expect(load('dataDirectory: /srv/cairn\n').config.pools).toEqual(['/srv/cairn/pool']);
  });

  it('may name the file by a variable', () => {
    writeFileSync(file, 'isolation: volume\n');
    const { config } = loadConfig({ environment: { CAIRN_CONFIG: file }, flags: {} });
    expect(config.isolation).toBe('volume');
  });
});

describe('a mistake', () => {
  it.each([
    ['an unknown key', 'rest:\n  prot: 9420\n', /line 2: Unknown key rest\.prot\. Did you mean rest\.port\?/],
    ['an unknown section', 'nbdd:\n  port: 1\n', /line 1: Unknown key nbdd\. Did you mean nbd\.\w+\?/],
    [
      'a value of the wrong type',
      'nbd:\n  host: x\n  port: many\n',
      /nbd\.port must be an integer from 0 to 65535, not "many" \(.*line 3\)/,
    ],
    ['a value out of range', 'nbd:\n  port: 65536\n', /nbd\.port must be an integer from 0 to 65535, not 65536/],
    [
      'a value that is none of the choices',
      'isolation: all\n',
      /isolation must be one of node, volume, not "all" \(.*line 1\)/,
    ],
    [
      'a text in place of true',
      'nbd:\n  tls:\n    verifyPeer: "yes"\n',
      /nbd\.tls\.verifyPeer must be true or false, not/,
    ],
    ['an empty list', 'pools: []\n', /pools must be a list of one or more different paths/],
    ['a value in place of a section', 'rest: 9420\n', /line 1: rest must hold keys: rest\.host, rest\.port/],
    ['no mapping at all', '- a\n', /line 1: The file must hold keys/],
    ['a key given twice', 'isolation: node\nisolation: volume\n', /line 2: Map keys must be unique/],
    ['text that is not YAML', 'rest:\n  port: "1\n', /line \d: /],
  ])('in the file is told with its line: %s', (_what, yaml, message) => {
    const error = errorOf(() => load(yaml));
    expect(error.code).toBe('invalid-config');
    expect(error.detail).toMatch(message);
    expect(error.detail).toContain(file);
  });

  it('in a variable is told with its name', () => {
    expect(errorOf(() => load('', { CAIRN_NBD_PORT: 'x1' })).detail).toContain('(variable CAIRN_NBD_PORT)');
  });

  it('in the name of a variable is told with the nearest one', () => {
    const error = errorOf(() => load('', { CAIRN_NBD_PROT: '1' }));
    expect(error.detail).toBe('Unknown variable CAIRN_NBD_PROT. Did you mean CAIRN_NBD_PORT?');
  });

  it("leaves other programs' variables alone", () => {
    expect(() => load('', { CAIRN_BUILD_FARM_TOKEN: 'x', CAIRN_SERVER: 'http://localhost:1' })).not.toThrow();
  });

  it('in the name of the file is told', () => {
    const absent = join(directory, 'absent.yaml');
    const error = errorOf(() => loadConfig({ file: absent, environment: {}, flags: {} }));
    expect(error.detail).toContain(`The configuration file ${absent} cannot be read`);
  });
});

it('takes a section that is wholly commented out', () => {
  expect(load('rest:\n#  port: 1\nisolation: volume\n').config.isolation).toBe('volume');
});

function load(yaml: string, environment: NodeJS.ProcessEnv = {}, flags: Record<string, string> = {}): LoadedConfig {
  writeFileSync(file, yaml);
  return loadConfig({ file, environment, flags });
}

function originOf(key: string, { entries }: LoadedConfig): unknown[] {
  const entry = entries.find((each) => each.key === key);
  return [entry?.value, entry?.origin];
}

function errorOf(action: () => unknown): CairnError {
  try {
    action();
  } catch (error) {
    if (error instanceof CairnError) return error;
    throw error;
  }
  return expect.fail('it does not throw');
}
