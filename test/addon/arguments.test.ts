/** Wrong arguments: a TypeError that names the field, before anything has happened. */
import { readFileSync } from 'node:fs';
import { totalmem } from 'node:os';
import { beforeEach, describe, expect, it } from 'vitest';
import { loadNative, type NativeDataPlane } from '../../src/engine/native.js';
import { exportOf, startPlane, whyNoAddon } from '../support/native-plane.js';

beforeEach((context) => {
  if (whyNoAddon !== null) context.skip(whyNoAddon);
});

type Loose = Record<keyof NativeDataPlane, (...values: unknown[]) => unknown>;

const replica = { directory: '/nowhere', volumeId: '', replicaId: '', sizeBytes: 4096, blockSize: 512 };
const limits = { iops: null, iopsBurst: null, bandwidth: null, bandwidthBurst: null, burstSeconds: null };
const volume = { name: 'volume', directory: '/nowhere', cacheMode: 'none', limits };
const noTls = { mode: 'off', certificateDirectory: null, verifyPeer: false, pskFile: null };
const cloneTarget = { snapshotId: 's', directory: '/nowhere', volumeId: 'v', replicaId: 'r' };
const handover = { path: '/nowhere' };
const remote = exportOf('volume', { volume: null, handover });

/** Method, arguments, and what the message begins with. */
const wrong: [keyof NativeDataPlane, unknown[], string][] = [
  ['createReplica', [], 'replica must be an object'],
  ['createReplica', [null], 'replica must be an object'],
  ['createReplica', [{ ...replica, directory: undefined }], 'directory must be given'],
  ['createReplica', [{ ...replica, directory: null }], 'directory must be a string'],
  ['createReplica', [{ ...replica, directory: '/no\0where' }], 'directory must be a string without NUL'],
  ['createReplica', [{ ...replica, volumeId: 1 }], 'volumeId must be a string'],
  ['createReplica', [{ ...replica, replicaId: undefined }], 'replicaId must be given'],
  ['createReplica', [{ ...replica, sizeBytes: '4096' }], 'sizeBytes must be a whole number'],
  ['createReplica', [{ ...replica, sizeBytes: 4096n }], 'sizeBytes must be a whole number'],
  ['createReplica', [{ ...replica, sizeBytes: -1 }], 'sizeBytes must be a whole number'],
  ['createReplica', [{ ...replica, sizeBytes: 0.5 }], 'sizeBytes must be a whole number'],
  ['createReplica', [{ ...replica, sizeBytes: 2 ** 53 }], 'sizeBytes must be a whole number'],
  ['createReplica', [{ ...replica, blockSize: Number.NaN }], 'blockSize must be a whole number'],
  ['createReplica', [{ ...replica, blockSize: 2 ** 32 + 512 }], 'blockSize must be a whole number'],
  ['openVolume', ['volume'], 'volume must be an object'],
  ['openVolume', [{ ...volume, name: undefined }], 'name must be given'],
  ['openVolume', [{ ...volume, directory: 1 }], 'directory must be a string'],
  ['openVolume', [{ ...volume, cacheMode: 'unsafe' }], 'cacheMode must be none, writeback or writethrough'],
  ['closeVolume', [], 'name must be a string'],
  ['volumeInfo', [{}], 'name must be a string'],
  ['resizeVolume', ['volume'], 'sizeBytes must be a whole number'],
  ['resizeVolume', ['volume', -1], 'sizeBytes must be a whole number'],
  ['resizeVolume', ['volume', 2 ** 53], 'sizeBytes must be a whole number'],
  ['resizeVolume', [1, 4096], 'volume must be a string'],
  ['flattenVolume', [], 'volume must be a string'],
  ['startScrub', [1], 'volume must be a string'],
  ['cloneSnapshot', ['volume'], 'target must be an object'],
  ['cloneSnapshot', ['volume', { ...cloneTarget, snapshotId: undefined }], 'snapshotId must be given'],
  ['cloneSnapshot', ['volume', { ...cloneTarget, directory: 1 }], 'directory must be a string'],
  ['cloneSnapshot', ['volume', { ...cloneTarget, volumeId: null }], 'volumeId must be a string'],
  ['cloneSnapshot', ['volume', { ...cloneTarget, replicaId: null }], 'replicaId must be a string'],
  ['createSnapshot', ['volume'], 'snapshotId must be a string'],
  ['createSnapshot', ['volume', 'id'], 'name must be a string'],
  ['deleteSnapshot', [null, ''], 'volume must be a string'],
  ['revertSnapshot', ['volume', 1], 'snapshotId must be a string'],
  ['addExport', [], 'exported must be an object'],
  ['addExport', [{ ...remote, name: undefined }], 'name must be given'],
  ['addExport', [{ ...remote, description: null }], 'description must be a string'],
  ['addExport', [{ ...remote, readOnly: 0 }], 'readOnly must be true or false'],
  ['addExport', [{ ...remote, volume: undefined }], 'volume must be given'],
  ['addExport', [{ ...remote, volume: '' }], "volume must be a volume's name"],
  ['addExport', [{ ...remote, handover: null }], 'handover must be an object'],
  ['addExport', [{ ...remote, handover: { ...handover, path: undefined } }], 'handover.path must be given'],
  ['removeExport', ['volume'], 'force must be true or false'],
  ['removeExport', [1, true], 'name must be a string'],
  ['setTls', [], 'settings must be an object'],
  ['setTls', [{ ...noTls, mode: 'maybe' }], 'mode must be off, on or require'],
  ['setTls', [{ ...noTls, verifyPeer: 1 }], 'verifyPeer must be true or false'],
  ['setTls', [{ ...noTls, pskFile: undefined }], 'pskFile must be given'],
  ['setTls', [{ ...noTls, certificateDirectory: 1 }], 'certificateDirectory must be a string'],
  ['listenTcp', [1, 0], 'host must be a string'],
  ['unlistenTcp', [1, 0], 'host must be a string'],
  ['unlistenTcp', ['127.0.0.1', 65_536], 'port must be a whole number from 0 to 65535'],
  ['listenTcp', ['127.0.0.1'], 'port must be a whole number from 0 to 65535'],
  ['listenTcp', ['127.0.0.1', 65_536], 'port must be a whole number from 0 to 65535'],
  ['listenTcp', ['127.0.0.1', -1], 'port must be a whole number from 0 to 65535'],
  ['listenTcp', ['127.0.0.1', Number.NaN], 'port must be a whole number from 0 to 65535'],
  ['listenTcp', ['127.0.0.1', 2 ** 32], 'port must be a whole number from 0 to 65535'],
  ['listenUnix', [], 'path must be a string'],
  ['listenHandover', ['/tmp/a\0b'], 'path must be a string without NUL'],
];

describe('a wrong argument', () => {
  it.each(wrong)('of %s (%o): %s', (method, values, message) => {
    const native = startPlane().native as unknown as Loose;
    const call = () => native[method](...values);
    expect(call).toThrow(TypeError);
    expect(call).toThrow(message);
  });

  it('whose getter throws passes that on', () => {
    const native = startPlane().native as unknown as Loose;
    const thrown = new RangeError('from the getter');
    const trap = {
      get directory(): string {
        throw thrown;
      },
    };
    expect(() => native.createReplica(trap)).toThrow(RangeError);
  });

  it('of a method that is called on something else is a TypeError', () => {
    const { native } = startPlane();
    expect(() => native.close.call({} as NativeDataPlane)).toThrow(TypeError);
  });
});

describe('the constructor', () => {
  const Plane = () => loadNative().DataPlane as unknown as new (...values: unknown[]) => NativeDataPlane;
  const options = {
    reactors: 1,
    bufferBytes: 1024 * 1024,
    connectionsMax: 10,
    negotiationsMax: 10,
    iscsi: { connectionsMax: 100, loginsMax: 50 },
  };

  it.each<[unknown[], string]>([
    [[], 'options must be an object'],
    [[{ ...options, reactors: undefined }, () => {}], 'reactors must be given'],
    [[{ ...options, bufferBytes: -1 }, () => {}], 'bufferBytes must be a whole number'],
    [[options], 'onEvent must be a function'],
  ])('%o: %s', (values, message) => {
    const construct = () => new (Plane())(...values);
    expect(construct).toThrow(TypeError);
    expect(construct).toThrow(message);
  });

  it.each([
    ['no reactor', { reactors: 0 }],
    ['65 reactors', { reactors: 65 }],
    ['less than 1 MiB of buffers', { bufferBytes: 1024 * 1024 - 1 }],
    ['more than 64 GiB of buffers', { bufferBytes: 64 * 2 ** 30 + 1 }],
    ['no connection', { connectionsMax: 0 }],
    ['too many connections', { connectionsMax: 1_000_001 }],
    ['no negotiation', { negotiationsMax: 0, iscsi: { connectionsMax: 100, loginsMax: 50 } }],
  ])('refuses %s', (_what, changes) => {
    const construct = () => new (Plane())({ ...options, ...changes }, () => {});
    expect(construct).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }));
  });

  it('refuses more buffers than there is memory for', (context) => {
    const bufferBytes = 64 * 2 ** 30;
    if (totalmem() + swapBytes() >= bufferBytes) context.skip('this machine has 64 GiB of memory');
    const construct = () => new (Plane())({ ...options, bufferBytes }, () => {});
    expect(construct).toThrow(expect.objectContaining({ code: 'ENOMEM' }));
  });

  it('is a class', () => {
    const notNew = loadNative().DataPlane as unknown as (...values: unknown[]) => void;
    expect(() => notNew(options, () => {})).toThrow(TypeError);
  });
});

function swapBytes(): number {
  const [, kibibytes = '0'] = /SwapTotal:\s+(\d+)/.exec(readFileSync('/proc/meminfo', 'utf8')) ?? [];
  return Number(kibibytes) * 1024;
}
