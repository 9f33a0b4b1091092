import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as grpc from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CairnError } from '../../src/errors.js';
import { addService, createClient, type Outgoing, type ServiceHandlers } from '../../src/engine/grpc-adapter.js';
import { DataPlane } from '../../src/generated/cairn/dataplane/v1/data_plane_pb.js';

type Handlers = ServiceHandlers<typeof DataPlane>;

let directory: string;
let server: grpc.Server;
let channel: grpc.Client;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'cairn-grpc-'));
  server = new grpc.Server();
  channel = new grpc.Client(`unix:${join(directory, 'sock')}`, grpc.credentials.createInsecure(), {
    'grpc.use_local_subchannel_pool': 1,
  });
});

afterEach(() => {
  channel.close();
  server.forceShutdown();
  rmSync(directory, { recursive: true, force: true });
});

describe('a unary call', () => {
  it('carries request and response', async () => {
    const client = await serve({
      getVolume: async ({ volume }) => ({ volume: { name: volume, sizeBytes: 2n ** 53n } }),
    });
    expect((await client.getVolume({ volume: 'data' })).volume).toMatchObject({ name: 'data', sizeBytes: 2n ** 53n });
  });

  it('carries a catalogued error, with its code and words', async () => {
    const client = await serve({
      getVolume: async () => {
        throw new CairnError('volume-detached', 'Volume döner is not open.');
      },
    });
    const failed = client.getVolume({ volume: 'x' });
    await expect(failed).rejects.toMatchObject({ code: 'volume-detached', detail: 'Volume döner is not open.' });
  });

  it("carries the addon's error by its code", async () => {
    const client = await serve({
      getVolume: () => Promise.reject(Object.assign(new Error('x is locked'), { code: 'VOLUME_LOCKED' })),
    });
    await expect(client.getVolume({ volume: 'x' })).rejects.toMatchObject({ code: 'volume-locked' });
  });

  it('reports a defect to the server and says "internal" to the client', async () => {
    const reported: string[] = [];
    const client = await serve(
      { getVolume: () => Promise.reject(new TypeError('x of undefined')) },
      (method, { code }) => reported.push(`${method} ${code}`),
    );
    await expect(client.getVolume({ volume: 'x' })).rejects.toMatchObject({ code: 'internal' });
    expect(reported).toEqual(['GetVolume internal']);
  });

  it('ends at its deadline', async () => {
    const client = await serve({ getVolume: () => new Promise(() => {}) });
    const late = client.getVolume({ volume: 'x' }, { timeoutMs: 50 });
    await expect(late).rejects.toMatchObject({ code: 'data-plane-timeout' });
  });

  it('fails at once when nobody listens', async () => {
    const client = createClient(channel, DataPlane, 10_000);
    await expect(client.getState({})).rejects.toMatchObject({ code: 'data-plane-unavailable' });
  });

  it('fails when the server dies under it', async () => {
    const client = await serve({ getVolume: () => new Promise(() => {}) });
    const failed = client.getVolume({ volume: 'x' });
    await client.getState({});
    server.forceShutdown();
    await expect(failed).rejects.toMatchObject({ code: 'data-plane-unavailable' });
  });
});

describe('a server stream', () => {
  it('hands over each message and resolves when the server ends it', async () => {
    const client = await serve({
      watchEvents: async (_request, stream) => {
        stream.send({ kind: 'hello' });
        stream.send({ kind: 'no-space', volume: 'data' });
      },
    });
    const kinds: string[] = [];
    await client.watchEvents({}, ({ kind }) => kinds.push(kind));
    expect(kinds).toEqual(['hello', 'no-space']);
  });

  it('rejects with the error of the server', async () => {
    const client = await serve({ watchEvents: () => Promise.reject(new CairnError('overloaded', 'Too many.')) });
    await expect(client.watchEvents({}, () => {})).rejects.toMatchObject({ code: 'overloaded', detail: 'Too many.' });
  });

  it('rejects when the server dies', async () => {
    const client = await serve({ watchEvents: greetAndStay() });
    const greeted = once();
    const broken = client.watchEvents({}, greeted.happened);
    const rejected = expect(broken).rejects.toMatchObject({ code: 'data-plane-unavailable' });
    await greeted.promise;
    server.forceShutdown();
    await rejected;
  });

  it('tells the server when the client aborts it', async () => {
    const closed = once();
    const client = await serve({ watchEvents: greetAndStay(closed.happened) });
    const greeted = once();
    const abort = new AbortController();
    const rejected = expect(client.watchEvents({}, greeted.happened, { signal: abort.signal })).rejects.toThrow();
    await greeted.promise;
    abort.abort();
    await rejected;
    await closed.promise;
  });

  it('ends before it begins when it is aborted already', async () => {
    const client = await serve({ watchEvents: greetAndStay() });
    await expect(client.watchEvents({}, () => {}, { signal: AbortSignal.abort() })).rejects.toThrow();
  });
});

async function serve(handlers: Partial<Handlers>, onError?: (method: string, error: CairnError) => void) {
  const all = { getState: async () => ({}), ...handlers } as Handlers;
  addService(server, DataPlane, all, onError);
  await new Promise<void>((resolve, reject) => {
    const address = `unix:${join(directory, 'sock')}`;
    server.bindAsync(address, grpc.ServerCredentials.createInsecure(), (error) => (error ? reject(error) : resolve()));
  });
  return createClient(channel, DataPlane, 10_000);
}

function greetAndStay(onClosed = (): void => {}): Handlers['watchEvents'] {
  return (_request, stream: Outgoing<{ kind: string }>) => {
    stream.send({ kind: 'hello' });
    return new Promise((resolve) => {
      stream.closed.addEventListener('abort', () => {
        onClosed();
        resolve();
      });
    });
  };
}

/** A promise of something that happens. */
function once(): { promise: Promise<void>; happened: () => void } {
  let happened = (): void => {};
  const promise = new Promise<void>((resolve) => {
    happened = resolve;
  });
  return { promise, happened };
}
