import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { cairn, type CommandResult } from '../support/command-line.js';
import { RestStub } from '../support/rest-stub.js';

const gibibyte = 2 ** 30;
const volume = {
  name: 'data',
  id: '7f8e1a52-7f3c-4a58-9f0b-0d4e6a4a1c11',
  size: 10 * gibibyte,
  blockSize: 4096,
  cacheMode: 'none',
  state: 'attached',
  reason: null,
  frontend: 'nbd',
  uris: ['nbd://127.0.0.1:10809/data', 'nbd+unix:///data?socket=/run/cairn/nbd.sock'],
  clients: 2,
  allocatedBytes: 1.5 * gibibyte,
  snapshotCount: 1,
  created: '2025-01-31T12:00:00.000Z',
};
const detached = {
  ...volume,
  name: 'a',
  state: 'detached',
  frontend: null,
  uris: [],
  clients: 0,
  allocatedBytes: null,
};

let service: RestStub;

beforeAll(async () => {
  service = await RestStub.start();
});
afterAll(() => service.close());
beforeEach(() => {
  service.requests.length = 0;
});

describe('cairn volume', () => {
  it('create asks for the volume as the flags say', async () => {
    service.answer('POST /v1/volumes', { status: 201, body: volume });
    const line = 'volume create data --size 10GiB --block-size 512 --cache writeback';
    expect(await run(line)).toEqual({ exitCode: 0, stdout: 'Volume data created (10GiB).\n', stderr: '' });
    const body = { name: 'data', size: '10GiB', blockSize: 512, cacheMode: 'writeback' };
    expect(service.requests).toEqual([{ method: 'POST', path: '/v1/volumes', body }]);
  });

  it('list aligns a table without borders', async () => {
    service.answer('GET /v1/volumes', { status: 200, body: { volumes: [detached, volume] } });
    expect((await run('volume list')).stdout).toBe(
      [
        'NAME  SIZE   ALLOCATED  STATE     FRONTEND  CLIENTS  SNAPSHOTS  URI',
        'a     10GiB  -          detached  -         0        1          -',
        'data  10GiB  1.5GiB     attached  nbd       2        1          nbd://127.0.0.1:10809/data',
        '',
      ].join('\n'),
    );
  });

  it('list prints with -o json exactly what REST returned', async () => {
    const body = { volumes: [detached, volume], unknownToUs: [1] };
    service.answer('GET /v1/volumes', { status: 200, body });
    expect(JSON.parse((await run('-o json volume list')).stdout)).toEqual(body);
    expect(JSON.parse((await run('volume list --output json')).stdout)).toEqual(body);
  });

  it('show prints each property on a line', async () => {
    service.answer('GET /v1/volumes/data', { status: 200, body: { ...volume, state: 'faulted', reason: 'No space.' } });
    const { stdout } = await run('volume show data');
    expect(stdout).toMatch(/^Name: +data$/m);
    expect(stdout).toMatch(/^Size: +10GiB \(10737418240 bytes\)$/m);
    expect(stdout).toMatch(/^State: +faulted: No space\.$/m);
    expect(stdout).toMatch(/^URIs: +nbd:\/\/127\.0\.0\.1:10809\/data\n +nbd\+unix:/m);
  });

  it('attach prints the URI alone, to be used by another command', async () => {
    service.answer('POST /v1/volumes/data/attach', { status: 200, body: volume });
    expect((await run('volume attach data')).stdout).toBe('nbd://127.0.0.1:10809/data\n');
    expect(service.requests[0]?.body).toEqual({ frontend: 'nbd' });
  });

  it('attach for maintenance says so', async () => {
    service.answer('POST /v1/volumes/data/attach', { status: 200, body: { ...volume, uris: [], frontend: 'none' } });
    expect((await run('volume attach data --frontend none')).stdout).toBe('Volume data is open for maintenance.\n');
    expect(service.requests[0]?.body).toEqual({ frontend: 'none' });
  });

  it('detach forces only when it is told to', async () => {
    service.answer('POST /v1/volumes/data/detach', { status: 200, body: detached });
    await run('volume detach data');
    await run('volume detach data --force --yes');
    expect(service.requests.map(({ body }) => body)).toEqual([{ force: false }, { force: true }]);
  });

  it('delete prints nothing with -o json, as REST returns nothing', async () => {
    service.answer('DELETE /v1/volumes/data', { status: 204 });
    expect(await run('volume delete data')).toEqual({ exitCode: 0, stdout: 'Volume data deleted.\n', stderr: '' });
    expect((await run('volume delete data -o json')).stdout).toBe('');
  });

  it('tells what the service refuses, with exit code 1', async () => {
    const problem = { status: 409, code: 'volume-attached', detail: 'Volume data is attached. Detach it first.' };
    service.answer('DELETE /v1/volumes/data', { status: 409, body: problem });
    expect(await run('volume delete data --yes')).toEqual({
      exitCode: 1,
      stdout: '',
      stderr: 'error: Volume data is attached. Detach it first.\n',
    });
  });

  it('names each field that the service refuses', async () => {
    const errors = [{ field: 'body.name', detail: 'must be 1 to 63 characters' }];
    const problem = { status: 400, code: 'invalid-request', detail: 'The request is invalid.', errors };
    service.answer('POST /v1/volumes', { status: 400, body: problem });
    const { stderr } = await run('volume create UPPER --size 1GiB');
    expect(stderr).toBe('error: The request is invalid.\nbody.name: must be 1 to 63 characters\n');
  });

  it('says what to start when no service answers', async () => {
    const { exitCode, stderr } = await cairn('volume list --server http://127.0.0.1:1');
    expect(exitCode).toBe(1);
    expect(stderr).toMatch(/^error: No service answers at http:\/\/127\.0\.0\.1:1\..*\nStart it with `cairn serve`/);
  });
});

describe('cairn snapshot', () => {
  const snapshot = {
    name: 's1',
    id: volume.id,
    volume: 'data',
    state: 'ready',
    created: volume.created,
    allocatedBytes: 4096,
    parent: null,
  };

  it('create prints the name, given or chosen by the service', async () => {
    service.answer('POST /v1/volumes/data/snapshots', { status: 201, body: snapshot });
    expect((await run('snapshot create data')).stdout).toBe('s1\n');
    await run('snapshot create data s1');
    expect(service.requests.map(({ body }) => body)).toEqual([{}, { name: 's1' }]);
  });

  it('list aligns a table', async () => {
    service.answer('GET /v1/volumes/data/snapshots', { status: 200, body: { snapshots: [snapshot] } });
    expect((await run('snapshot list data')).stdout).toBe(
      'NAME  STATE  CREATED                   ALLOCATED  PARENT\ns1    ready  2025-01-31T12:00:00.000Z  4KiB       -\n',
    );
  });

  it('delete and revert name both', async () => {
    service.answer('DELETE /v1/volumes/data/snapshots/s1', { status: 204 });
    service.answer('POST /v1/volumes/data/snapshots/s1/revert', { status: 200, body: detached });
    expect((await run('snapshot delete data s1 -y')).stdout).toBe('Snapshot s1 of volume data deleted.\n');
    expect((await run('snapshot revert data s1 -y')).stdout).toBe('Volume data has the content of snapshot s1.\n');
  });
});

describe('cairn status', () => {
  const node = {
    host: 'here',
    version: '1.2.3',
    pid: 7,
    started: volume.created,
    isolation: 'node',
    processes: [{ id: 'node', pid: 8, started: volume.created, version: '1.2.3', volumes: ['data'] }],
    pools: [{ directory: '/pool', sizeBytes: 100 * gibibyte, availableBytes: null }],
  };

  it('shows service, processes, pools and volumes', async () => {
    service.answer('GET /v1/node', { status: 200, body: node });
    service.answer('GET /v1/volumes', { status: 200, body: { volumes: [volume] } });
    const { stdout } = await run('status');
    expect(stdout).toMatch(/^Service: +cairn 1\.2\.3, pid 7, since /m);
    expect(stdout).toMatch(/^node +8 +1\.2\.3 +\S+ +1$/m);
    expect(stdout).toMatch(/^\/pool +100GiB +-$/m);
    expect(stdout).toMatch(/^data +10GiB +1\.5GiB +attached/m);
    expect(JSON.parse((await run('status -o json')).stdout)).toEqual({ node, volumes: [volume] });
  });

  it('says how to create the first volume', async () => {
    service.answer('GET /v1/volumes', { status: 200, body: { volumes: [] } });
    expect((await run('status')).stdout).toContain('No volumes. Create one: cairn volume create data --size 10GiB');
  });
});

function run(line: string): Promise<CommandResult> {
  return cairn(`${line} --server ${service.url}`);
}
