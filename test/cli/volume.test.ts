import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { cairn, type CommandResult } from '../support/command-line.js';
import { RestStub } from '../support/rest-stub.js';

const gibibyte = 2 ** 30;
const noLimits = { iops: null, iopsBurst: null, bandwidth: null, bandwidthBurst: null, burstSeconds: null };
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
  limits: noLimits,
  encryption: null,
  allocatedBytes: 1.5 * gibibyte,
  source: null,
  flatten: null,
  scrub: null,
  deletion: null,
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
    const limited = { ...volume, limits: { ...noLimits, iops: 500, bandwidth: 100 * 2 ** 20 } };
    service.answer('GET /v1/volumes', { status: 200, body: { volumes: [detached, limited] } });
    expect((await run('volume list')).stdout).toBe(
      [
        'NAME  SIZE   ALLOCATED  STATE     FRONTEND  CLIENTS  SNAPSHOTS  LIMITS              URI',
        'a     10GiB  -          detached  -         0        1          -                   -',
        'data  10GiB  1.5GiB     attached  nbd       2        1          500 IOPS, 100MiB/s  nbd://127.0.0.1:10809/data',
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

  it('delete waits until the volume is gone, and prints with -o json what REST returned', async () => {
    const deleting = { ...detached, name: 'data', state: 'deleting', deletion: { progress: 0 } };
    service.answer('DELETE /v1/volumes/data', { status: 202, body: deleting });
    service.answer('GET /v1/volumes/data', { status: 200, body: deleting });
    const deleted = run('volume delete data');
    await service.asked('GET', '/v1/volumes/data');
    service.answer('GET /v1/volumes/data', { status: 404, body: { code: 'volume-not-found', detail: 'No.' } });
    expect(await deleted).toEqual({ exitCode: 0, stdout: 'Volume data deleted.\n', stderr: '' });
    expect(JSON.parse((await run('volume delete data -o json')).stdout)).toEqual(deleting);
  });

  it('delete knows a new volume of the name from the one that it waits for', async () => {
    service.answer('DELETE /v1/volumes/data', { status: 202, body: { ...detached, name: 'data', id: 'another' } });
    service.answer('GET /v1/volumes/data', { status: 200, body: volume });
    expect((await run('volume delete data')).stdout).toBe('Volume data deleted.\n');
  });

  it('delete does not wait when it is told so', async () => {
    service.answer('DELETE /v1/volumes/data', { status: 202, body: detached });
    expect((await run('volume delete data --no-wait')).stdout).toBe('Volume data is being deleted.\n');
    expect(service.requests).toHaveLength(1);
  });

  it('delete that fails while it is waited for says why', async () => {
    const deleting = { ...detached, name: 'data', state: 'deleting', deletion: { progress: 0 } };
    service.answer('DELETE /v1/volumes/data', { status: 202, body: deleting });
    const faulted = { ...deleting, state: 'faulted', reason: 'The disk is gone.' };
    service.answer('GET /v1/volumes/data', { status: 200, body: faulted });
    const { exitCode, stderr } = await run('volume delete data');
    expect([exitCode, stderr]).toEqual([
      1,
      'error: Volume data cannot be deleted yet. The disk is gone. It is tried again.\n',
    ]);
  });

  it('create asks for a clone, like its parent unless flags say otherwise', async () => {
    service.answer('POST /v1/volumes', { status: 201, body: volume });
    expect((await run('volume create data --from old@one')).stdout).toBe('Volume data created from old@one (10GiB).\n');
    await run('volume create data --from old@one --size 20GiB --cache writeback');
    const source = { volume: 'old', snapshot: 'one' };
    expect(service.requests.map(({ body }) => body)).toEqual([
      { name: 'data', source },
      { name: 'data', source, size: '20GiB', cacheMode: 'writeback' },
    ]);
  });

  it('resize names the size that it has then', async () => {
    service.answer('POST /v1/volumes/data/resize', { status: 200, body: { ...volume, size: 20 * gibibyte } });
    expect((await run('volume resize data --size 20GiB')).stdout).toBe('Volume data has 20GiB now.\n');
    expect(service.requests[0]?.body).toEqual({ size: '20GiB' });
  });

  describe('limit', () => {
    const limits = { iops: 500, iopsBurst: 2000, bandwidth: 100 * 2 ** 20, bandwidthBurst: null, burstSeconds: 60 };

    it('asks for what is named alone, and says what holds then', async () => {
      service.answer('PATCH /v1/volumes/data/limits', { status: 200, body: { ...volume, limits } });
      const line =
        'volume limit data --iops 500 --iops-burst 2000 --bandwidth 100M --bandwidth-burst none --burst-seconds 60';
      expect(await run(line)).toEqual({
        exitCode: 0,
        stdout: 'Volume data is limited to 500 IOPS (2000 for 60 s), 100MiB/s.\n',
        stderr: '',
      });
      const body = { iops: 500, iopsBurst: 2000, bandwidth: '100M', bandwidthBurst: null, burstSeconds: 60 };
      expect(service.requests).toEqual([{ method: 'PATCH', path: '/v1/volumes/data/limits', body }]);
      await run('volume limit data --iops none');
      expect(service.requests[1]?.body).toEqual({ iops: null });
    });

    it('takes all limits away', async () => {
      service.answer('PATCH /v1/volumes/data/limits', { status: 200, body: volume });
      expect((await run('volume limit data --none')).stdout).toBe('Volume data has no limits.\n');
      expect(service.requests[0]?.body).toEqual({ iops: null, iopsBurst: null, bandwidth: null, bandwidthBurst: null });
    });

    it.each([
      ['', 'name a limit, e.g. --iops 500, or --none'],
      ['--none --iops 5', '--none takes all limits away'],
      ['--iops 0', 'It must be a whole number, at least 1.'],
      ['--iops -1', 'It must be a whole number, at least 1.'],
      ['--iops 1.5', 'It must be a whole number, at least 1.'],
      ['--bandwidth fast', 'It must be a number of bytes'],
      ['--burst-seconds none', 'It must be a whole number, at least 1.'],
    ])('refuses %j', async (flags, why) => {
      const { exitCode, stderr } = await run(`volume limit data ${flags}`.trim());
      expect([exitCode, stderr]).toEqual([2, expect.stringContaining(why)]);
      expect(service.requests).toEqual([]);
    });
  });

  it('create asks for limits, and a clone for none', async () => {
    service.answer('POST /v1/volumes', { status: 201, body: volume });
    await run('volume create data --size 1GiB --iops 500 --bandwidth 10MiB');
    await run('volume create data --from old@one --iops none');
    expect(service.requests.map(({ body }) => body)).toEqual([
      { name: 'data', size: '1GiB', limits: { iops: 500, bandwidth: '10MiB' } },
      { name: 'data', source: { volume: 'old', snapshot: 'one' }, limits: { iops: null } },
    ]);
  });

  describe('flatten', () => {
    const source = { volume: 'old', snapshot: 'one', linked: true };
    const flattening = { ...volume, source, flatten: { progress: 0.5, problem: null } };

    it('says that it has begun', async () => {
      service.answer('POST /v1/volumes/data/flatten', { status: 200, body: flattening });
      expect((await run('volume flatten data')).stdout).toBe('Volume data is being flattened.\n');
    });

    it('waits for its end when it is told so', async () => {
      service.answer('POST /v1/volumes/data/flatten', { status: 200, body: flattening });
      service.answer('GET /v1/volumes/data', { status: 200, body: flattening });
      const flattened = run('volume flatten data --wait');
      await service.asked('GET', '/v1/volumes/data');
      service.answer('GET /v1/volumes/data', {
        status: 200,
        body: { ...volume, source: { ...source, linked: false } },
      });
      expect(await flattened).toEqual({ exitCode: 0, stdout: 'Volume data is flattened.\n', stderr: '' });
    });

    it('that waits for something is told so, and not waited for', async () => {
      service.answer('POST /v1/volumes/data/flatten', { status: 200, body: flattening });
      const waiting = { ...flattening, flatten: { progress: 0.5, problem: '4096 bytes are free' } };
      service.answer('GET /v1/volumes/data', { status: 200, body: waiting });
      const { exitCode, stderr } = await run('volume flatten data --wait');
      expect(exitCode).toBe(1);
      expect(stderr).toBe('error: Volume data is not flattened yet. It waits: 4096 bytes are free.\n');
    });

    it('that does not end well is an error', async () => {
      service.answer('POST /v1/volumes/data/flatten', { status: 200, body: flattening });
      const faulted = { ...flattening, state: 'faulted', reason: 'The pool is full.' };
      service.answer('GET /v1/volumes/data', { status: 200, body: faulted });
      const { exitCode, stderr } = await run('volume flatten data --wait');
      expect([exitCode, stderr]).toEqual([1, 'error: Volume data is not flattened yet. The pool is full.\n']);
    });
  });

  describe('scrub', () => {
    const finished = {
      state: 'finished',
      progress: 1,
      blocksChecked: 100,
      blocksDamaged: 0,
      blocksUnverified: 0,
      repaired: 0,
      findings: [] as string[],
      ended: volume.created,
    };
    const running = { ...finished, state: 'running', progress: 0.25, ended: null };

    it('says that it has begun', async () => {
      service.answer('POST /v1/volumes/data/scrub', { status: 200, body: { ...volume, scrub: running } });
      expect(await run('volume scrub data')).toMatchObject({ exitCode: 0, stdout: 'Volume data is being scrubbed.\n' });
    });

    it.each([
      [finished, 0, `finished ${volume.created}: 100 blocks checked, 0 damaged\n`],
      [
        { ...finished, blocksDamaged: 1, blocksUnverified: 7, repaired: 1, findings: ['block 3 of one'] },
        1,
        `finished ${volume.created}: 100 blocks checked, 1 damaged, 1 repaired, 7 without checksum\nblock 3 of one\n`,
      ],
      [{ ...finished, state: 'stopped' }, 1, `stopped ${volume.created}: 100 blocks checked, 0 damaged\n`],
      [null, 1, 'The scrub was interrupted: start it again.\n'],
    ])('waits and tells what it found: %j', async (scrub, exitCode, stdout) => {
      service.answer('POST /v1/volumes/data/scrub', { status: 200, body: { ...volume, scrub: running } });
      service.answer('GET /v1/volumes/data', { status: 200, body: { ...volume, scrub: running } });
      const scrubbed = run('volume scrub data --wait');
      await service.asked('GET', '/v1/volumes/data');
      service.answer('GET /v1/volumes/data', { status: 200, body: { ...volume, scrub } });
      expect(await scrubbed).toEqual({ exitCode, stdout, stderr: '' });
      process.exitCode = 0;
    });

    it('that runs already is waited for', async () => {
      service.answer('POST /v1/volumes/data/scrub', {
        status: 409,
        body: { status: 409, code: 'scrub-running', detail: 'It is being scrubbed.' },
      });
      service.answer('GET /v1/volumes/data', { status: 200, body: { ...volume, scrub: finished } });
      expect(await run('volume scrub data --wait')).toMatchObject({ exitCode: 0, stderr: '' });
      expect(await run('volume scrub data')).toMatchObject({ exitCode: 1 });
    });

    it('is seen in show', async () => {
      service.answer('GET /v1/volumes/data', { status: 200, body: { ...volume, scrub: running } });
      expect((await run('volume show data')).stdout).toMatch(/^Scrub: +running, 25%: 100 blocks checked, 0 damaged$/m);
    });
  });

  it.each([
    [{ source: { volume: 'old', snapshot: 'one', linked: true } }, /^Source: +old@one, shares data with it$/m],
    [{ source: { volume: 'old', snapshot: 'one', linked: false } }, /^Source: +old@one, flattened$/m],
    [
      { source: { volume: 'old', snapshot: 'one', linked: true }, flatten: { progress: 0.999, problem: null } },
      /^Source: +old@one, flattening 99%$/m,
    ],
    [{ state: 'deleting', deletion: { progress: 0.5 } }, /^State: +deleting, 50%$/m],
    [{}, /^Limits: +-$/m],
    [
      { limits: { ...noLimits, iops: 500, iopsBurst: 2000, burstSeconds: 60 } },
      /^Limits: +500 IOPS \(2000 for 60 s\)$/m,
    ],
  ])('show tells of %j', async (changes, line) => {
    service.answer('GET /v1/volumes/data', { status: 200, body: { ...volume, ...changes } });
    expect((await run('volume show data')).stdout).toMatch(line);
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
    shared: false,
    checksummed: true,
    mergeProgress: null,
    uris: ['nbd://127.0.0.1:10809/data@s1'],
  };

  it('create prints the name, given or chosen by the service', async () => {
    service.answer('POST /v1/volumes/data/snapshots', { status: 201, body: snapshot });
    expect((await run('snapshot create data')).stdout).toBe('s1\n');
    await run('snapshot create data s1');
    expect(service.requests.map(({ body }) => body)).toEqual([{}, { name: 's1' }]);
  });

  it('list aligns a table', async () => {
    const going = { state: 'deleting', mergeProgress: 0.5, allocatedBytes: null, uris: [], checksummed: false };
    const gone = { ...snapshot, ...going, name: 'gone', parent: 's1', shared: true };
    service.answer('GET /v1/volumes/data/snapshots', { status: 200, body: { snapshots: [snapshot, gone] } });
    expect((await run('snapshot list data')).stdout).toBe(
      [
        'NAME  STATE          CREATED                   ALLOCATED  PARENT  SHARED  CHECKSUMMED  URI',
        's1    ready          2025-01-31T12:00:00.000Z  4KiB       -       no      yes          nbd://127.0.0.1:10809/data@s1',
        'gone  deleting, 50%  2025-01-31T12:00:00.000Z  -          s1      yes     no           -',
        '',
      ].join('\n'),
    );
  });

  it('show prints where clients can read it', async () => {
    service.answer('GET /v1/volumes/data/snapshots/s1', { status: 200, body: snapshot });
    const { stdout } = await run('snapshot show data s1');
    expect(stdout).toMatch(/^Checksummed: +yes\nURIs: +nbd:\/\/127\.0\.0\.1:10809\/data@s1$/m);
  });

  it('delete and revert name both', async () => {
    service.answer('DELETE /v1/volumes/data/snapshots/s1', { status: 204 });
    service.answer('POST /v1/volumes/data/snapshots/s1/revert', { status: 200, body: detached });
    expect((await run('snapshot delete data s1 -y')).stdout).toBe('Snapshot s1 of volume data deleted.\n');
    expect((await run('snapshot revert data s1 -y')).stdout).toBe('Volume data has the content of snapshot s1.\n');
  });
});

describe('cairn node', () => {
  it('reload-tls says what was done', async () => {
    service.answer('POST /v1/node/reload-tls', { status: 204 });
    expect((await run('node reload-tls')).stdout).toBe('Certificates and keys were read anew.\n');
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
    pools: [
      {
        name: null,
        directory: '/pool',
        state: 'ready',
        reason: null,
        encryption: null,
        sizeBytes: 100 * gibibyte,
        availableBytes: null,
      },
    ],
  };

  it('shows service, processes, pools and volumes', async () => {
    service.answer('GET /v1/node', { status: 200, body: node });
    service.answer('GET /v1/volumes', { status: 200, body: { volumes: [volume] } });
    const { stdout } = await run('status');
    expect(stdout).toMatch(/^Service: +cairn 1\.2\.3, pid 7, since /m);
    expect(stdout).toMatch(/^node +8 +1\.2\.3 +\S+ +1$/m);
    expect(stdout).toMatch(/^\/pool +ready +100GiB +-$/m);
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
