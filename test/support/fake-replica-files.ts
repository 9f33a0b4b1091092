/** The files of the stand-in for the addon: a replica is a small JSON file. */
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { LayerInfo, NewReplica } from '../../src/engine/native.js';

export interface StoredReplica extends NewReplica {
  layers: LayerInfo[];
  heads: number;
  flattening: boolean;
  clean: boolean;
  /** The id of the last change of its volume key, and whether that goes on. */
  keyChange?: { id: string; running: boolean };
  /** What its passphrase is, in hexadecimal; undefined: it is not encrypted. */
  passphrase?: string;
  /** Of the other key slots. */
  others?: string[];
}

export function load(directory: string): StoredReplica {
  const file = join(directory, 'volume.json');
  if (!existsSync(file)) fail('REPLICA_MISSING', `no replica in ${directory}`);
  return JSON.parse(readFileSync(file, 'utf8')) as StoredReplica;
}

export function store(replica: StoredReplica): void {
  const file = join(replica.directory, 'volume.json');
  writeFileSync(`${file}.new`, JSON.stringify(replica));
  renameSync(`${file}.new`, file);
}

/** Stands for flock: held by a living process, gone with it. */
export function lock(directory: string): void {
  const file = join(directory, 'lock');
  const holder = existsSync(file) ? readFileSync(file, 'utf8') : '';
  if (holder !== '' && isRunning(holder)) fail('VOLUME_LOCKED', `${directory} is open in process ${holder}`);
  writeFileSync(file, String(process.pid));
}

function isRunning(pid: string): boolean {
  const stat = `/proc/${pid}/stat`;
  return existsSync(stat) && !/\) [ZX] /.test(readFileSync(stat, 'utf8'));
}

/** As the addon's errors are. */
export function fail(code: string, message: string): never {
  throw Object.assign(new Error(message), { code });
}
