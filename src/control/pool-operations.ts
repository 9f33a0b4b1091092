/** Adding and removing pools: one at a time for each, intent in the record first. */
import { randomUUID } from 'node:crypto';
import { mkdir, realpath } from 'node:fs/promises';
import { basename, isAbsolute, join, normalize, sep } from 'node:path';
import { fileSystemDefault, type NewPool } from '../api/node-schemas.js';
import { namePattern } from '../api/schemas.js';
import type { PoolDevices } from '../engine/pool-devices.js';
import { CairnError, hasCode } from '../errors.js';
import { keyRefOf } from './key-refs.js';
import { causesOf } from './log.js';
import type { ControlParts } from './parts.js';
import { poolMutexKey, type PoolKeeper } from './pool-keeper.js';
import { deviceMinBytes, type PoolSteps } from './pool-steps.js';
import { isDirectory, mappingName, type Pools } from './pools.js';
import type { PoolRecord, Stored } from './records.js';

type NewPoolEncryption = NonNullable<NewPool['encryption']>;

export class PoolOperations {
  constructor(
    private readonly parts: ControlParts,
    private readonly steps: PoolSteps,
    private readonly keeper: PoolKeeper,
    private readonly pools: Pools,
    private readonly devices: PoolDevices,
    /** Encrypted pools are mounted in `pools` in it. */
    private readonly dataDirectory: string,
  ) {}

  /** A pool that cannot be made is taken back, and its device is blank as before. */
  async add(request: NewPool): Promise<PoolRecord> {
    const name = nameOf(request);
    return this.parts.mutex.run(poolMutexKey(name), async () => {
      const stored = (await this.interrupted(name, request)) ?? (await this.recorded(name, request));
      const { record: made } = await this.finishCreate(stored);
      this.keeper.forget(name);
      this.parts.events.add({ kind: 'pool-added', message: `Pool ${name} is added (${made.directory}).` });
      return made;
    });
  }

  remove(name: string): Promise<void> {
    return this.parts.mutex.run(poolMutexKey(name), async () => {
      const stored = await this.existing(name);
      const hasData = stored.record.state === 'ready' || stored.record.state === 'removing';
      const marked = await this.marked(stored, hasData ? 'removing' : 'undoing');
      if (hasData) await this.steps.finishRemove(marked);
      else await this.steps.finishUndo(marked);
      this.keeper.forget(name);
      this.parts.events.add({ kind: 'pool-removed', message: `Pool ${name} is removed.` });
    });
  }

  /** Throws `pool-not-found`. */
  private async existing(name: string): Promise<Stored<PoolRecord>> {
    const stored = await this.parts.records.pools.get(name);
    if (stored) return stored;
    const what = `There is no pool ${JSON.stringify(name)} that was added`;
    throw new CairnError('pool-not-found', `${what}. Those of the configuration are removed there. List the pools.`);
  }

  /** What the same command has begun before. */
  private async interrupted(name: string, request: NewPool): Promise<Stored<PoolRecord> | null> {
    const stored = await this.parts.records.pools.get(name);
    if (!stored) return null;
    const { state, encryption } = stored.record;
    if (state === 'creating' && encryption?.device === request.encryption?.device) return stored;
    throw nameTaken(name);
  }

  private async recorded(name: string, request: NewPool): Promise<Stored<PoolRecord>> {
    const record = await this.newRecord(name, request);
    if (!(await this.parts.records.pools.create(record))) throw nameTaken(name);
    return this.existing(name);
  }

  private async newRecord(name: string, request: NewPool): Promise<PoolRecord> {
    const common = { name, state: 'creating' as const, created: this.parts.now().toISOString() };
    if (!request.encryption) return { ...common, directory: await this.newDirectory(request), encryption: null };
    return { ...common, ...(await this.newEncryption(name, request.encryption)) };
  }

  /** One that is there, and neither in a pool nor around one. */
  private async newDirectory({ directory = '' }: NewPool): Promise<string> {
    if (!isAbsolute(directory)) throw invalid('directory', `${JSON.stringify(directory)} is no absolute path.`);
    if (!(await isDirectory(directory)))
      throw invalid('directory', `There is no directory ${directory}. Make it, and mount what belongs there, first.`);
    const path = await realpath(directory);
    for (const pool of await this.pools.list()) {
      const other = normalize(await realpath(pool.directory).catch(() => pool.directory));
      if (isWithin(path, other) || isWithin(other, path))
        throw new CairnError('pool-exists', `${path} overlaps with the pool ${pool.directory}. Name another one.`, {
          field: 'directory',
        });
    }
    return path;
  }

  /** Everything that can be known to go wrong does so before anything is written. */
  private async newEncryption(name: string, request: NewPoolEncryption) {
    const { device, provider, key = name, fileSystem = fileSystemDefault } = request;
    const ref = keyRefOf({ ...(provider && { provider }), key }, 'encryption.key');
    await this.devices.checkHost();
    await this.devices.checkBlank(device, deviceMinBytes[fileSystem]);
    if ((await this.devices.mapping(mappingName(name))) !== null)
      throw new CairnError('device-in-use', `There is a /dev/mapper/${mappingName(name)} already. Use another name.`);
    const place = join(this.dataDirectory, 'pools');
    await mkdir(place, { recursive: true });
    const directory = join(await realpath(place), name);
    return { directory, encryption: { device, uuid: randomUUID(), ...ref, fileSystem } };
  }

  private async finishCreate(stored: Stored<PoolRecord>): Promise<Stored<PoolRecord>> {
    try {
      return await this.steps.finishCreate(stored);
    } catch (error) {
      await this.takeBack(stored, error);
      throw error;
    }
  }

  private async takeBack(stored: Stored<PoolRecord>, cause: unknown): Promise<void> {
    const { name } = stored.record;
    this.parts.log('warn', 'pool cannot be added', { pool: name, cause: causesOf(cause) });
    try {
      await this.steps.finishUndo(await this.marked(stored, 'undoing'));
    } catch (error) {
      if (!hasCode(error, 'store-closed')) this.keeper.leftUndone(name, error);
    }
  }

  private async marked(stored: Stored<PoolRecord>, state: PoolRecord['state']): Promise<Stored<PoolRecord>> {
    return stored.record.state === state ? stored : this.parts.records.pools.change(stored, { state });
  }
}

/** Of an encrypted pool, unless it is given, the last part of its device's path: `sdb`. */
function nameOf({ name, directory, encryption }: NewPool): string {
  if ((directory === undefined) === (encryption === undefined))
    throw invalid('directory', 'A pool has either a directory or an encrypted device. Give one of them.');
  if (name !== undefined) return name;
  if (!encryption) throw invalid('name', 'A pool in a directory needs a name.');
  const derived = basename(encryption.device).toLowerCase();
  if (new RegExp(namePattern).test(derived)) return derived;
  throw invalid('name', `${derived} cannot be the name of a pool. Give it one.`);
}

function isWithin(path: string, other: string): boolean {
  return path === other || path.startsWith(other.endsWith(sep) ? other : `${other}${sep}`);
}

function nameTaken(name: string): CairnError {
  return new CairnError('pool-exists', `There is a pool ${name} already. Choose another name, or remove it first.`, {
    field: 'name',
  });
}

function invalid(field: string, detail: string): CairnError {
  return new CairnError('invalid-request', detail, { field });
}
