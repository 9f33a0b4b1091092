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

  it('are one too many where it is not', async () => {
    await service.client.attachVolume({ ...db, body: { frontend: 'iscsi' } });
    await expect(service.client.attachVolume({ ...db, body: { frontend: 'nbd' } })).rejects.toMatchObject({
      code: 'volume-not-shared',
    });
    expect(await service.client.getVolume(db)).toMatchObject({ frontend: 'iscsi', state: 'attached' });
  });
});
