/** Who may use a volume, over REST: initiators, CHAP, and whether both frontends may serve it. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CairnError } from '../../src/errors.js';
import { RunningService } from '../support/running-service.js';

const db = { params: { name: 'db' } };
const web = { user: 'web', secret: { provider: 'file' as const, key: 'web-chap' } };
const open = { initiators: [], chap: null, mutual: null, shared: false };

let service: RunningService;
beforeEach(async () => {
  service = await RunningService.start();
  await service.client.createVolume({ body: { name: 'db', size: '1GiB' } });
});
afterEach(() => service.end());

function change(body: object) {
  return service.ask('PATCH', '/v1/volumes/db/access', body);
}

describe('access', () => {
  it('is open to everybody at first', async () => {
    expect(await service.client.getAccess(db)).toEqual(open);
  });

  it('changes in what is named, and stays', async () => {
    const initiators = ['iqn.1993-08.org.debian:01:web'];
    await service.client.changeAccess({ ...db, body: { initiators } });
    expect(await service.client.changeAccess({ ...db, body: { chap: web } })).toEqual({
      ...open,
      initiators,
      chap: web,
    });
    expect(await service.client.changeAccess({ ...db, body: { chap: null } })).toEqual({ ...open, initiators });
  });

  it('reaches the data plane while the volume is attached', async () => {
    await service.client.attachVolume({ ...db, body: { frontend: 'iscsi' } });
    await service.client.changeAccess({ ...db, body: { chap: web } });
    expect(service.engine.calls).toContain('setAccess db');
    expect(service.engine.dataPlane.open.get('db')?.spec.access.chap?.user).toBe('web');
  });

  it('of a clone is that of the parent, whose data it has', async () => {
    await service.client.changeAccess({ ...db, body: { chap: web, shared: true } });
    await service.client.createSnapshot({ ...db, body: { name: 'one' } });
    const source = { volume: 'db', snapshot: 'one' };
    await service.client.createVolume({ body: { name: 'copy', source } });
    await service.client.createVolume({ body: { name: 'other', source, shared: false } });
    const access = { ...open, chap: web };
    expect(await service.client.getAccess({ params: { name: 'copy' } })).toEqual({ ...access, shared: true });
    expect(await service.client.getAccess({ params: { name: 'other' } })).toEqual(access);
  });

  it('changes nothing when the data plane cannot be told', async () => {
    service.engine.failNext('setAccess', new CairnError('key-unavailable', 'Vault is away.'));
    await expect(service.client.changeAccess({ ...db, body: { chap: web } })).rejects.toMatchObject({
      code: 'key-unavailable',
    });
    expect(await service.client.getAccess(db)).toEqual(open);
  });

  it.each([
    { initiators: ['web'] },
    { initiators: ['iqn.1993-08.org.debian:01:web', 'iqn.1993-08.org.debian:01:web'] },
    { mutual: web },
    { chap: { user: '', secret: web.secret } },
    { chap: { user: 'web', secret: { key: 'a/b' } } },
    { password: 'secret' },
  ])('refuses %j', async (body) => {
    expect((await change(body)).body).toMatchObject({ code: 'invalid-request' });
    expect(await service.client.getAccess(db)).toEqual(open);
  });
});

describe('both frontends', () => {
  it('serve a volume at once where it is shared', async () => {
    await service.client.changeAccess({ ...db, body: { shared: true } });
    await service.client.attachVolume({ ...db, body: { frontend: 'nbd' } });
    const attached = await service.client.attachVolume({ ...db, body: { frontend: 'iscsi' } });
    expect(attached).toMatchObject({ frontend: 'both', shared: true });
    expect(attached.uris.map((uri) => uri.split(':')[0])).toEqual(['nbd', 'iscsi']);
    expect((await change({ shared: false })).body).toMatchObject({ code: 'volume-attached' });
    expect(await service.client.detachVolume({ ...db, body: {} })).toMatchObject({ frontend: null, uris: [] });
  });

  it('are ended one by one', async () => {
    await service.client.createVolume({ body: { name: 'two', size: '1GiB', shared: true } });
    const two = { params: { name: 'two' } };
    await service.client.attachVolume({ ...two, body: { frontend: 'iscsi' } });
    await service.client.attachVolume({ ...two, body: { frontend: 'nbd' } });
    const left = await service.client.detachVolume({ ...two, body: { frontend: 'iscsi', force: true } });
    expect(left).toMatchObject({ frontend: 'nbd', state: 'attached', uris: ['nbd://127.0.0.1:10809/two'] });
    expect(service.engine.calls).toContain('withdraw iscsi two');
    await expect(service.client.detachVolume({ ...two, body: { frontend: 'iscsi' } })).rejects.toMatchObject({
      code: 'volume-detached',
    });
    expect(await service.client.detachVolume({ ...two, body: { frontend: 'nbd' } })).toMatchObject({ frontend: null });
    expect(await service.client.detachVolume({ ...two, body: { frontend: 'nbd' } })).toMatchObject({ frontend: null });
  });

  it('both stay when one of them cannot be ended', async () => {
    await service.client.changeAccess({ ...db, body: { shared: true } });
    await service.client.attachVolume({ ...db, body: { frontend: 'nbd' } });
    await service.client.attachVolume({ ...db, body: { frontend: 'iscsi' } });
    service.engine.failNext('withdraw iscsi', new CairnError('volume-in-use', 'Initiators are logged in.'));
    await expect(service.client.detachVolume({ ...db, body: { frontend: 'iscsi' } })).rejects.toMatchObject({
      code: 'volume-in-use',
    });
    expect(await service.client.getVolume(db)).toMatchObject({ frontend: 'both', state: 'attached' });
  });

  it('are one too many where it is not', async () => {
    await service.client.attachVolume({ ...db, body: { frontend: 'iscsi' } });
    await expect(service.client.attachVolume({ ...db, body: { frontend: 'nbd' } })).rejects.toMatchObject({
      code: 'volume-not-shared',
    });
    expect(await service.client.getVolume(db)).toMatchObject({ frontend: 'iscsi', state: 'attached' });
  });
});
