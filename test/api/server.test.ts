/** What the server says to requests that reach no operation, and to operations that break. */
import { once } from 'node:events';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Handlers } from '../../src/api/operations.js';
import { operationIds } from '../../src/api/routes.js';
import type { Event, Problem } from '../../src/api/schemas.js';
import { startServer, type Server, type ServerOptions } from '../../src/api/server.js';
import { CairnError } from '../../src/errors.js';

const event: Event = { id: 7, time: '2025-01-01T00:00:00.000Z', kind: 'k', volume: 'db', process: null, message: 'm' };

let server: Server;
let url: string;
let defects: unknown[];
let handlers: Handlers;
let isReady: boolean;

beforeEach(async () => {
  defects = [];
  isReady = true;
  const none = () => Promise.reject(new CairnError('volume-not-found', 'There is none. Make one.'));
  handlers = Object.fromEntries(operationIds.map((id) => [id, none])) as unknown as Handlers;
  server = await startServer(options());
  url = `http://127.0.0.1:${server.address.port}`;
});
afterEach(() => server.close());

function options(): ServerOptions {
  return {
    host: '127.0.0.1',
    port: 0,
    version: '1.2.3',
    handlers: new Proxy({} as Handlers, {
      get: (_target, id) => (input: never) => handlers[id as keyof Handlers](input),
    }),
    followEvents,
    probes: {
      ready: async () => {
        if (!isReady) throw new CairnError('data-plane-unavailable', 'It is down. Wait.');
      },
      metrics: async () => ({ contentType: 'text/plain', text: 'cairn_info 1\n' }),
    },
    onDefect: (error) => defects.push(error),
  };
}

async function* followEvents(afterId: number, signal: AbortSignal): AsyncGenerator<Event> {
  if (afterId < event.id) yield event;
  yield { ...event, id: event.id + 1, volume: null };
  await new Promise((resolve) => signal.addEventListener('abort', resolve));
}

async function problem(path: string, request: RequestInit = {}): Promise<Problem & { headers: Headers }> {
  const response = await fetch(url + path, request);
  expect(response.headers.get('content-type')).toContain('application/problem+json');
  const body = (await response.json()) as Problem;
  expect(body.status).toBe(response.status);
  expect(body.type).toBe(`urn:cairn:problem:${body.code}`);
  expect(JSON.stringify(body)).not.toMatch(/node_modules|\bat .*:\d+:\d+/);
  return { ...body, headers: response.headers };
}

const json = { 'content-type': 'application/json' };

describe('a request that no operation can take', () => {
  it.each([
    '/v2',
    '/v1/volume',
    '/v1/volumes/a/b',
    '/v1/volumes/a/b/c/d/e',
    '/%ff',
    '/v1/volumes/%ff',
    '/docs/nothing',
  ])('is answered with 404 at %s', async (path) => {
    expect(await problem(path)).toMatchObject({ status: 404, code: 'route-not-found' });
  });

  it.each([
    ['PUT', '/v1/volumes', 'GET, HEAD, POST'],
    ['PATCH', '/v1/volumes/db', 'GET, HEAD, DELETE'],
    ['GET', '/v1/volumes/db/attach', 'POST'],
    ['DELETE', '/v1/node?x=1', 'GET, HEAD'],
    ['POST', '/healthz', 'GET, HEAD'],
    ['OPTIONS', '/v1/volumes', 'GET, HEAD, POST'],
  ])('is answered with 405 and what is allowed: %s %s', async (method, path, allowed) => {
    const { status, code, headers } = await problem(path, { method });
    expect([status, code, headers.get('allow')]).toEqual([405, 'method-not-allowed', allowed]);
  });

  it.each(['{', 'null,', '', "{'name': 1}", '{"__proto__": {"a": 1}}'])(
    'is answered with 400 when its body is %j',
    async (body) => {
      expect(await problem('/v1/volumes', { method: 'POST', headers: json, body })).toMatchObject({
        status: 400,
        code: 'malformed-body',
      });
    },
  );

  it.each(['[]', 'null', '1', '"text"', '{}'])(
    'is answered with the wrong fields when its body is %s',
    async (body) => {
      const answer = await problem('/v1/volumes', { method: 'POST', headers: json, body });
      expect(answer).toMatchObject({ status: 400, code: 'invalid-request' });
      expect(answer.errors?.length).toBeGreaterThan(0);
    },
  );

  it.each(['text/plain', 'application/x-www-form-urlencoded', 'application/jsonx', 'nonsense'])(
    'is answered with 415 when its body is %s',
    async (type) => {
      const request = { method: 'POST', headers: { 'content-type': type }, body: '{"name":"db","size":4096}' };
      expect(await problem('/v1/volumes', request)).toMatchObject({ status: 415, code: 'unsupported-media-type' });
    },
  );

  it('is answered with 413 when its body is too large', async () => {
    const body = JSON.stringify({ name: 'a'.repeat(70_000) });
    expect(await problem('/v1/volumes', { method: 'POST', headers: json, body })).toMatchObject({
      status: 413,
      code: 'body-too-large',
    });
  });

  it.each([
    '/v1/volumes?limit=1',
    '/v1/events?follow=perhaps',
    '/v1/events?folow=true',
    '/v1/events?follow=true&follow=true',
  ])('is answered with 400 when its query is wrong: %s', async (path) => {
    expect(await problem(path)).toMatchObject({ status: 400, code: 'invalid-request' });
  });

  it('is answered with 403 when a page of another site sends it', async () => {
    const request = { method: 'POST', headers: { origin: 'http://evil.example' } };
    expect(await problem('/v1/volumes/db/detach', request)).toMatchObject({ status: 403, code: 'origin-refused' });
    expect(await problem('/v1/volumes/db/detach', { method: 'POST', headers: { origin: url } })).toMatchObject({
      status: 404,
    });
  });

  it('is answered with 400 when it is not HTTP', async () => {
    const socket = connect(server.address.port, '127.0.0.1');
    socket.write('NBDMAGICIHAVEOPT\r\n\r\n');
    expect(await text(socket)).toMatch(/^HTTP\/1.1 400 Bad Request\r\n[^]*"code":"malformed-body"/);
  });
});

describe('an operation that breaks', () => {
  it('is answered with 500 without saying how, and told of once with its cause', async () => {
    const bug = new TypeError('secret is not a function');
    handlers.getNode = () => Promise.reject(bug);
    const { code, detail } = await problem('/v1/node');
    expect(code).toBe('internal');
    expect(detail).not.toContain('secret');
    expect(defects).toEqual([bug]);
  });

  it('is not a defect when it fails as expected', async () => {
    expect(await problem('/v1/node')).toMatchObject({
      status: 404,
      code: 'volume-not-found',
      detail: 'There is none. Make one.',
    });
    expect(defects).toEqual([]);
  });
});

describe('events', () => {
  it('are followed as server-sent events until the client leaves', async () => {
    const leaving = new AbortController();
    const response = await fetch(`${url}/v1/events?follow=true`, { signal: leaving.signal });
    expect(response.headers.get('content-type')).toContain('text/event-stream');
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
    let seen = '';
    while (!seen.includes('id: 8')) seen += (await reader?.read())?.value ?? '';
    expect(seen).toContain(`id: 7\nevent: k\ndata: ${JSON.stringify(event)}\n\n`);
    leaving.abort();
  });

  it('go on behind the last one that was seen, and can be of one volume', async () => {
    const stream = async (path: string, headers: Record<string, string>) => {
      const response = await fetch(url + path, { headers });
      const closed = server.close();
      const all = await response.text();
      await closed;
      server = await startServer(options());
      url = `http://127.0.0.1:${server.address.port}`;
      return all;
    };
    expect(await stream('/v1/events?follow=true', { 'last-event-id': '7' })).not.toContain('id: 7');
    expect(await stream('/v1/events?follow=true&volume=db', {})).not.toContain('id: 8');
  });
});

describe('beside the operations', () => {
  it('tells that it is alive and ready', async () => {
    expect(await (await fetch(`${url}/healthz`)).json()).toEqual({ status: 'ok' });
    expect(await (await fetch(`${url}/readyz`)).json()).toEqual({ status: 'ready' });
    isReady = false;
    expect(await problem('/readyz')).toMatchObject({ status: 503, code: 'data-plane-unavailable' });
    expect((await fetch(`${url}/healthz`)).status).toBe(200);
  });

  it('leads visitors to the documentation', async () => {
    expect((await fetch(url)).url).toContain('/docs');
  });

  it('shows metrics', async () => {
    expect(await (await fetch(`${url}/metrics`)).text()).toBe('cairn_info 1\n');
  });

  it('documents itself without help from elsewhere', async () => {
    const page = await (await fetch(`${url}/docs`)).text();
    expect(page).not.toMatch(/(src|href)="https?:/);
    const paths = [...page.matchAll(/(?:src|href)="\.?(\/[^"]+)"/g)].map(([, path]) => path);
    expect(paths.length).toBeGreaterThan(3);
    for (const path of paths)
      expect([path, (await fetch(`${url}/docs${path?.replace(/^\/docs/, '')}`)).status]).toEqual([path, 200]);
    expect(await (await fetch(`${url}/docs/json`)).json()).toMatchObject({ openapi: '3.1.0' });
  });

  it('sends headers that protect a browser, and none that force HTTPS', async () => {
    const { headers } = await fetch(`${url}/docs`);
    expect(headers.get('content-security-policy')).toContain("script-src 'self'");
    expect(headers.get('content-security-policy')).not.toContain('upgrade-insecure-requests');
    expect(headers.get('strict-transport-security')).toBeNull();
  });
});

describe('closing', () => {
  it('is not held up by a connection on which nothing is asked', async () => {
    const silent = connect(server.address.port, '127.0.0.1');
    await once(silent, 'connect');
    await fetch(`${url}/healthz`);
    const closed = once(silent, 'close');
    await server.close();
    await closed;
    server = await startServer(options());
  });
});

describe('an address that cannot be had', () => {
  it('is an error that says so', async () => {
    await expect(startServer({ ...options(), port: server.address.port })).rejects.toMatchObject({
      code: 'address-in-use',
    });
    await expect(startServer({ ...options(), host: '192.0.2.1' })).rejects.toMatchObject({
      code: 'address-unavailable',
    });
  });
});

describe('a process that was kept waiting', () => {
  /** As a busy host does: the loop turns once, then not at all for longer than the delay is looked at. */
  async function stall(times: number): Promise<void> {
    for (let turn = 0; turn < times; turn++) {
      const end = performance.now() + 1100;
      while (performance.now() < end);
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  it('for a second at a time still serves', async () => {
    await stall(3);
    expect(await problem('/v1/volumes')).toMatchObject({ status: 404 });
  });
});
