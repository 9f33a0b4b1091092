/** What the REST interface says to requests that cannot be done, on a service that runs. */
import { describe, expect, it } from 'vitest';
import { sharedCairn, volumeName } from '../support/real-fixture.js';

const cairn = sharedCairn();

interface ProblemBody {
  code: string;
  status: number;
  errors?: { field: string }[];
}

async function problem(method: string, path: string, body?: unknown): Promise<ProblemBody> {
  const answer = await cairn().rest.send(method, path, body);
  expect((answer.body as ProblemBody).status).toBe(answer.status);
  return answer.body as ProblemBody;
}

describe('400 names the field', () => {
  it.each([
    [{ size: '1GiB' }, 'name'],
    [{ name: 'Ä b', size: '1GiB' }, 'name'],
    [{ name: 'a', size: '1GiB', colour: 'red' }, 'colour'],
    [{ name: 'a', size: 'large' }, 'size'],
    [{ name: 'a', size: -1 }, 'size'],
    [{ name: 'a', size: 4097 }, 'size'],
    [{ name: 'a', size: 0 }, 'size'],
    [{ name: 'a', size: '65TiB' }, 'size'],
    [{ name: 'a', size: '1GiB', blockSize: 1024 }, 'blockSize'],
    [{ name: 'a', size: '1GiB', cacheMode: 'fast' }, 'cacheMode'],
  ])('POST /v1/volumes %j blames %s', async (body, field) => {
    const { status, errors } = await problem('POST', '/v1/volumes', body);
    expect(status).toBe(400);
    expect(errors?.map((error) => error.field).join()).toContain(field);
  });

  it('of an attach with an unknown frontend', async () => {
    const name = volumeName();
    await cairn().createVolume(name, { size: '16MiB' });
    const { status, errors } = await problem('POST', `/v1/volumes/${name}/attach`, { frontend: 'floppy' });
    expect(status).toBe(400);
    expect(errors?.[0]?.field).toContain('frontend');
  });
});

describe('malformed bodies', () => {
  const send = (body: string, type = 'application/json') =>
    cairn().rest.sendRaw('/v1/volumes', { method: 'POST', headers: { 'content-type': type }, body });

  it.each(['{"name":', '[]', '"text"', 'null', '{"name":"a","size":'])('%s is 400', async (body) => {
    expect((await send(body)).status).toBe(400);
  });

  it('another media type is 415', async () => {
    expect((await send('name=a', 'text/plain')).status).toBe(415);
  });

  it('a body of 2 MiB is 413', async () => {
    expect((await send(`{"name":"${'a'.repeat(2 ** 21)}"}`)).status).toBe(413);
  });
});

describe('404', () => {
  it.each([
    ['GET', '/v1/volumes/none', 'volume-not-found'],
    ['DELETE', '/v1/volumes/none', 'volume-not-found'],
    ['POST', '/v1/volumes/none/attach', 'volume-not-found'],
    ['POST', '/v1/volumes/none/detach', 'volume-not-found'],
    ['GET', '/v1/volumes/none/snapshots', 'volume-not-found'],
    ['POST', '/v1/volumes/none/snapshots', 'volume-not-found'],
    ['GET', '/v1/nothing', 'route-not-found'],
  ])('%s %s is %s', async (method, path, code) => {
    expect(await problem(method, path, method === 'POST' ? {} : undefined)).toMatchObject({ status: 404, code });
  });

  it('of an unknown snapshot', async () => {
    const name = volumeName();
    await cairn().createVolume(name, { size: '16MiB' });
    for (const [method, path] of [
      ['DELETE', 'none'],
      ['POST', 'none/revert'],
      ['GET', 'none'],
    ] as const) {
      const found = await problem(method, `/v1/volumes/${name}/snapshots/${path}`);
      expect(found).toMatchObject({ status: 404, code: 'snapshot-not-found' });
    }
  });
});

describe('409', () => {
  it('of a taken name, of a delete while attached, of a revert while served', async () => {
    const name = volumeName();
    await cairn().serveVolume(name, { size: '16MiB' });
    await cairn().createSnapshot(name, 'one');
    const asked = [
      ['POST', '/v1/volumes', { name, size: '16MiB' }, 'volume-exists'],
      ['DELETE', `/v1/volumes/${name}`, undefined, 'volume-attached'],
      ['POST', `/v1/volumes/${name}/attach`, { frontend: 'none' }, 'volume-attached'],
      ['POST', `/v1/volumes/${name}/snapshots`, { name: 'one' }, 'snapshot-exists'],
      ['POST', `/v1/volumes/${name}/snapshots/one/revert`, undefined, 'volume-attached'],
    ] as const;
    for (const [method, path, body, code] of asked) {
      expect(await problem(method, path, body)).toMatchObject({ status: 409, code });
    }
    await cairn().deleteVolume(name);
  });
});
