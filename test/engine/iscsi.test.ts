/** Volumes as iSCSI targets: who serves them, where, whom they let in, and what is left when something fails half way. */
import { createServer, type Server } from 'node:net';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { LocalNodeEngine } from '../../src/engine/local-node-engine.js';
import { openAccess, type AccessSpec, type Isolation, type VolumeSpec } from '../../src/engine/node-engine.js';
import { CairnError } from '../../src/errors.js';
import type { KeySource } from '../../src/keys/key-source.js';
import { ask, EngineFixture, until } from '../support/engine-fixture.js';

const timeout = 60_000;
const withChap: AccessSpec = {
  initiators: [],
  chap: { user: 'web', secret: { provider: 'file', key: 'web-chap' } },
  mutual: null,
};

/** A provider that is there or away. */
class Keys implements KeySource {
  isAway = false;

  async use<Result>(_ref: unknown, use: (secret: Uint8Array) => Promise<Result>): Promise<Result> {
    if (this.isAway) throw new CairnError('key-unavailable', 'The provider is away.');
    return use(new TextEncoder().encode('a secret of enough bytes'));
  }
}

let fixture: EngineFixture;
let others: Server[];

beforeEach(() => {
  fixture = new EngineFixture();
  others = [];
});
afterEach(async () => {
  for (const server of others) server.close();
  await fixture.remove();
}, timeout);

function iscsiAt(port: number) {
  return { iscsi: { host: '127.0.0.1', port, portals: [], discovery: openAccess } };
}

/** Another program's port. */
async function occupiedPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  others.push(server);
  await once(server, 'listening');
  return (server.address() as { port: number }).port;
}

function holderOf(engine: LocalNodeEngine, name: string) {
  const found = engine.processes().find(({ volumes }) => volumes.includes(name));
  if (!found) throw new Error(`no process holds ${name}`);
  return found;
}

/** What a client of the volume's portal is told, or that nobody listens there. */
function answerAt(uri: string, name: string): Promise<string> {
  return ask(`${uri.slice(0, uri.indexOf('/', 'iscsi://'.length))}/${name}`).catch(() => 'nobody listens');
}

/** What the data plane's logs say of changes of whom the volume's target lets in, where it is held. */
function accessesSet(name: string): { chap: number }[] {
  const logs = readdirSync(fixture.logDirectory).filter((file) => !file.startsWith('front'));
  const lines = logs.flatMap((file) => readFileSync(join(fixture.logDirectory, file), 'utf8').trim().split('\n'));
  const entries = lines.map((line) => JSON.parse(line) as { message: string; target: string; chap: number });
  return entries.filter(({ message, target }) => message === 'access set' && target.endsWith(`:${name}`));
}

function killed(engine: LocalNodeEngine, name: string): Promise<void> {
  const before = fixture.events.length;
  process.kill(holderOf(engine, name).pid, 'SIGKILL');
  return until(() => fixture.events.slice(before).some(({ kind }) => kind === 'process-started'));
}

async function attached(engine: LocalNodeEngine, spec: VolumeSpec): Promise<string> {
  const [uri = ''] = (await engine.attach(spec, 'iscsi')).uris;
  return uri;
}

describe.each<Isolation>(['node', 'volume'])('isolation %s', { timeout }, (isolation) => {
  it('listens for initiators while a volume is attached by iSCSI, and no longer', async () => {
    const engine = await fixture.start(isolation);
    const [first, second] = [await fixture.createVolume(engine, 'a'), await fixture.createVolume(engine, 'b')];
    const uri = await attached(engine, first);
    expect(uri).toMatch(/^iscsi:\/\/127\.0\.0\.1:\d+\/iqn\.2026-11\.io\.cairn:a\/0$/);
    await attached(engine, second);
    await engine.detach('a', false);
    expect(await answerAt(uri, 'a')).not.toBe('nobody listens');
    await engine.detach('b', false);
    expect(await answerAt(uri, 'b')).toBe('nobody listens');
  });

  it('closes a volume whose port another program has', async () => {
    const engine = await fixture.start(isolation, iscsiAt(await occupiedPort()));
    const spec = await fixture.createVolume(engine, 'data');
    await expect(engine.attach(spec, 'iscsi')).rejects.toMatchObject({
      code: 'address-in-use',
      detail: expect.stringContaining('Set iscsi.port') as unknown,
    });
    await engine.detach('data', false);
    expect(await engine.running('data')).toBeNull();
    await engine.deleteReplica(spec.directory);
  });

  it('goes on serving by NBD when iSCSI cannot be added', async () => {
    const engine = await fixture.start(isolation, iscsiAt(await occupiedPort()));
    const spec = await fixture.createVolume(engine, 'data');
    const [uri = ''] = (await engine.attach(spec, 'nbd')).uris;
    await expect(engine.attach(spec, 'both')).rejects.toMatchObject({ code: 'address-in-use' });
    expect(await engine.running('data')).toMatchObject({ frontend: 'nbd' });
    expect(await ask(uri)).toBe('serving data');
    await engine.detach('data', true);
  });

  it('ends one of two frontends, by itself or by attaching without it', async () => {
    const engine = await fixture.start(isolation);
    const spec = await fixture.createVolume(engine, 'data');
    const { uris } = await engine.attach(spec, 'both');
    const [nbd = '', iscsi = ''] = ['nbd:', 'iscsi:'].map((scheme) => uris.find((uri) => uri.startsWith(scheme)));
    await engine.withdraw('data', 'iscsi', false);
    expect(await engine.running('data')).toMatchObject({ frontend: 'nbd' });
    expect(await answerAt(iscsi, 'data')).toBe('nobody listens');
    expect(await ask(nbd)).toBe('serving data');
    await until(async () => (await engine.running('data'))?.clients === 0);
    await engine.attach(spec, 'both');
    expect((await engine.attach(spec, 'iscsi')).uris).toHaveLength(1);
    expect(await ask(nbd)).toBe('no data');
    await engine.detach('data', false);
    expect(await engine.running('data')).toBeNull();
  });

  it('lets nobody in after a crash before the secrets are there', async () => {
    const keys = new Keys();
    const engine = await fixture.start(isolation, { keys });
    const spec = { ...(await fixture.createVolume(engine, 'data')), access: withChap };
    await attached(engine, spec);
    keys.isAway = true;
    await killed(engine, 'data');
    expect(await engine.running('data')).toBeNull();
    await expect(engine.attach(spec, 'iscsi')).rejects.toMatchObject({ code: 'key-unavailable' });
    keys.isAway = false;
    await attached(engine, spec);
    expect(await engine.running('data')).toMatchObject({ frontend: 'iscsi' });
  });

  it('lets in whom it did, after a crash too, when whom it is to let in cannot be set', async () => {
    const keys = new Keys();
    const engine = await fixture.start(isolation, { keys });
    const spec = await fixture.createVolume(engine, 'data');
    await attached(engine, spec);
    keys.isAway = true;
    await expect(engine.setAccess({ ...spec, access: withChap })).rejects.toMatchObject({ code: 'key-unavailable' });
    await killed(engine, 'data');
    expect(await engine.running('data')).toMatchObject({ frontend: 'iscsi' });
  });

  it('leaves a target that it finds as closed as it is', async () => {
    const first = await fixture.start(isolation, { keys: new Keys() });
    const spec = { ...(await fixture.createVolume(first, 'data')), access: withChap };
    await attached(first, spec);
    await first.release();
    const keys = new Keys();
    keys.isAway = true;
    const second = await fixture.start(isolation, { keys });
    await expect(second.attach(spec, 'iscsi')).rejects.toMatchObject({ code: 'key-unavailable' });
    expect(await second.running('data')).toMatchObject({ frontend: 'iscsi' });
    expect(accessesSet('data').map(({ chap }) => chap)).not.toContain(0);
    await second.detach('data', false);
  });

  it('does not serve a target again that it has only found, for it knows nothing of whom to let in', async () => {
    const first = await fixture.start(isolation, { keys: new Keys() });
    await attached(first, { ...(await fixture.createVolume(first, 'data')), access: withChap });
    await first.release();
    const second = await fixture.start(isolation, { keys: new Keys() });
    expect(await second.running('data')).toMatchObject({ frontend: 'iscsi' });
    await killed(second, 'data');
    expect(await second.running('data')).toBeNull();
  });
});

describe('the port', { timeout }, () => {
  it('of initiators moves with the setting, when the service starts', async () => {
    const first = await fixture.start('node');
    const spec = await fixture.createVolume(first, 'data');
    const before = await attached(first, spec);
    await first.release();
    const port = await occupiedPort();
    others.pop()?.close();
    const second = await fixture.start('node', iscsiAt(port));
    const after = await attached(second, spec);
    expect(after).toContain(`:${port}/`);
    expect(await answerAt(after, 'data')).not.toBe('nobody listens');
    expect(await answerAt(before, 'data')).toBe('nobody listens');
  });

  it('that another program has leaves volumes to be attached again', async () => {
    const first = await fixture.start('node');
    const spec = await fixture.createVolume(first, 'data');
    await attached(first, spec);
    await first.release();
    const settings = iscsiAt(await occupiedPort());
    const second = await fixture.start('node', settings);
    expect(await second.running('data')).toMatchObject({ frontend: 'none' });
    await expect(second.attach(spec, 'iscsi')).rejects.toMatchObject({ code: 'address-in-use' });
    const occupant = others.pop();
    await new Promise((resolve) => occupant?.close(resolve));
    await attached(second, spec);
    expect(await second.running('data')).toMatchObject({ frontend: 'iscsi' });
  });

  it('is listened at again once the secrets of discovery are there', async () => {
    const keys = new Keys();
    const iscsi = { host: '127.0.0.1', port: 0, portals: [], discovery: withChap };
    const engine = await fixture.start('node', { keys, iscsi });
    const spec = await fixture.createVolume(engine, 'data');
    const uri = await attached(engine, spec);
    keys.isAway = true;
    await killed(engine, 'data');
    expect(await engine.running('data')).toMatchObject({ frontend: 'none' });
    expect(await answerAt(uri, 'data')).toBe('nobody listens');
    await expect(engine.attach(spec, 'iscsi')).rejects.toMatchObject({ code: 'key-unavailable' });
    keys.isAway = false;
    expect(await attached(engine, spec)).toBe(uri);
    expect(await answerAt(uri, 'data')).not.toBe('nobody listens');
  });
});
