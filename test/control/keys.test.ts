/** Keys and headers of encrypted volumes as an administrator sees them: real HTTP, a fake data plane. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { VolumeKeyList, type Volume } from '../../src/api/schemas.js';
import { Validator } from '../../src/api/validation.js';
import { CairnError } from '../../src/errors.js';
import { eventually, RunningService } from '../support/running-service.js';

const safe = { params: { name: 'safe' } };

let service: RunningService;
let volume: Volume;
beforeEach(async () => {
  service = await RunningService.start();
  await service.client.createVolume({ body: { name: 'plain', size: '1GiB' } });
  volume = await service.client.createVolume({ body: { name: 'safe', size: '1GiB', encryption: {} } });
});
afterEach(() => service.end());

function replica() {
  const found = [...service.dataPlane.replicas.values()].find(({ volumeId }) => volumeId === volume.id);
  if (!found) throw new Error('the volume has a replica');
  return found;
}
const slots = () => replica().slots.map(({ provider, key }) => `${provider}/${key}`);
const ownKey = async () => (await service.client.getVolume(safe)).encryption?.key;

async function kinds(): Promise<string[]> {
  const { events } = await service.client.listEvents({ query: { volume: 'safe' } });
  return events.map(({ kind }) => kind);
}

describe('keys', () => {
  it('are listed as the header has them', async () => {
    const { status, body } = await service.ask('GET', '/v1/volumes/safe/keys');
    expect(status).toBe(200);
    expect(new Validator(VolumeKeyList).errorsIn(body, 'body')).toEqual([]);
    expect(body).toMatchObject({ provider: 'file', key: 'safe', keySlots: [{ derivation: 'argon2id' }] });
  });

  it('are added, attached or not, and removed', async () => {
    await service.client.addKey({ ...safe, body: { key: 'recovery' } });
    await service.client.attachVolume({ ...safe, body: {} });
    const added = await service.client.addKey({ ...safe, body: { provider: 'command', key: 'escrow' } });
    expect(added.keySlots).toHaveLength(3);
    expect(slots()).toEqual(['file/safe', 'file/recovery', 'command/escrow']);
    await service.client.removeKey({ ...safe, body: { key: 'recovery' } });
    expect(slots()).toEqual(['file/safe', 'command/escrow']);
    expect((await kinds()).filter((kind) => kind.startsWith('key-'))).toEqual([
      'key-added',
      'key-added',
      'key-removed',
    ]);
  });

  it("that are the volume's own are not removed", async () => {
    const { status, body } = await service.ask('POST', '/v1/volumes/safe/keys/remove', { key: 'safe' });
    expect([status, body.code, body.errors?.[0]?.field]).toEqual([400, 'invalid-request', 'key']);
    expect(slots()).toEqual(['file/safe']);
  });

  it.each([
    ['GET', 'keys', undefined],
    ['POST', 'keys', { key: 'k' }],
    ['POST', 'keys/rotate', { key: 'k' }],
    ['POST', 'header/backup', { file: '/tmp/x' }],
    ['POST', 'reencrypt', undefined],
  ])('are nothing that a volume has which is not encrypted: %s %s', async (method, path, body) => {
    const answer = await service.ask(method, `/v1/volumes/plain/${path}`, body);
    expect([answer.status, answer.body.code]).toEqual([409, 'volume-not-encrypted']);
  });

  it.each(['keys', 'keys/rotate', 'keys/remove'])('are paths of vault alone: %s', async (path) => {
    const { status, body } = await service.ask('POST', `/v1/volumes/safe/${path}`, { key: 'team/db' });
    expect([status, body.code, body.errors?.[0]?.field]).toEqual([400, 'invalid-request', 'key']);
  });

  it('stay as they are while clients can write to the header, and while the volume key changes', async () => {
    await service.client.attachVolume({ ...safe, body: { raw: true } });
    const raw = await service.ask('POST', '/v1/volumes/safe/keys', { key: 'k' });
    expect([raw.status, raw.body.code]).toEqual([409, 'volume-attached']);
    await service.client.detachVolume({ ...safe, body: {} });
    await service.client.attachVolume({ ...safe, body: { raw: true, readOnly: true } });
    await service.client.addKey({ ...safe, body: { key: 'k' } });
    await service.client.detachVolume({ ...safe, body: {} });
    await service.client.reencryptVolume(safe);
    const changing = await service.ask('POST', '/v1/volumes/safe/keys/rotate', { key: 'k' });
    expect([changing.status, changing.body.code]).toEqual([409, 'reencryption-running']);
  });

  it('are refused with how long to wait when too many passphrases were wrong', async () => {
    const error = new CairnError('too-many-attempts', 'Wait.', { retryAfterSeconds: 7 });
    service.engine.failNext('addKey safe', error);
    const answer = await fetch(`${service.url}/v1/volumes/safe/keys`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ key: 'k' }),
    });
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([429, '7']);
  });
});

describe('rotating', () => {
  it("replaces the key and nobody else's", async () => {
    await service.client.addKey({ ...safe, body: { key: 'recovery' } });
    const rotated = await service.client.rotateKey({ ...safe, body: { key: 'safe-2027' } });
    expect(rotated).toMatchObject({ provider: 'file', key: 'safe-2027' });
    expect(slots()).toEqual(['file/recovery', 'file/safe-2027']);
    expect(await ownKey()).toBe('safe-2027');
    expect((await kinds()).at(-1)).toBe('key-rotated');
    const again = await service.client.rotateKey({ ...safe, body: { key: 'safe-2027' } });
    expect(again.keySlots).toHaveLength(2);
  });

  it('that cannot begin changes nothing, then or later', async () => {
    service.engine.failNext('addKey safe', new CairnError('key-unavailable', 'The provider sleeps.'));
    const { status, body } = await service.ask('POST', '/v1/volumes/safe/keys/rotate', { key: 'next' });
    expect([status, body.code]).toEqual([503, 'key-unavailable']);
    await service.restart();
    expect([await ownKey(), slots()]).toEqual(['safe', ['file/safe']]);
    expect(service.engine.calls).not.toContain('addKey safe');
  });

  it('that could not remove the former key is finished by itself', async () => {
    service.engine.failNext('removeKey safe', new CairnError('data-plane-unavailable', 'It died.'));
    const { status } = await service.ask('POST', '/v1/volumes/safe/keys/rotate', { key: 'next' });
    expect(status).toBe(503);
    expect(await ownKey()).toBe('next');
    await eventually(async () => slots()).toEqual(['file/next']);
  });
});

describe('headers', () => {
  it('are backed up and restored', async () => {
    await service.client.backupHeader({ ...safe, body: { file: '/root/safe.luks2' } });
    await service.client.addKey({ ...safe, body: { key: 'recovery' } });
    await service.client.restoreHeader({ ...safe, body: { file: '/root/safe.luks2' } });
    expect(slots()).toEqual(['file/safe']);
    expect((await kinds()).slice(-3)).toEqual(['header-backed-up', 'key-added', 'header-restored']);
  });

  it('are not restored while the volume is attached', async () => {
    await service.client.backupHeader({ ...safe, body: { file: '/root/safe.luks2' } });
    await service.client.attachVolume({ ...safe, body: { frontend: 'none' } });
    const { status, body } = await service.ask('POST', '/v1/volumes/safe/header/restore', { file: '/root/safe.luks2' });
    expect([status, body.code]).toEqual([409, 'volume-attached']);
  });

  it.each(['backup', 'restore'])('have absolute paths (%s)', async (verb) => {
    const { status, body } = await service.ask('POST', `/v1/volumes/safe/header/${verb}`, { file: 'safe.luks2' });
    expect([status, body.code, body.errors?.[0]?.field]).toEqual([400, 'invalid-request', 'file']);
  });
});
