import { describe, expect, it } from 'vitest';
import { createClient } from '../../src/api/client.js';

interface Sent {
  method: string;
  url: string;
  body: unknown;
  contentType: string | null;
}

/** A client of a service that answers everything with the same. */
function clientOf(status: number, answer: string): { client: ReturnType<typeof createClient>; sent: Sent[] } {
  const sent: Sent[] = [];
  const fakeFetch: typeof fetch = async (url, request) => {
    const { method, headers, body, url: address } = new Request(url, request);
    const text = body ? await new Response(body).text() : undefined;
    sent.push({
      method,
      url: address,
      body: text && (JSON.parse(text) as unknown),
      contentType: headers.get('content-type'),
    });
    return new Response(status === 204 ? null : answer, { status });
  };
  return { client: createClient({ url: 'http://node:9420', fetch: fakeFetch }), sent };
}

describe('a call', () => {
  it('sends what the table says', async () => {
    const { client, sent } = clientOf(200, '{}');
    await client.attachVolume({ params: { name: 'a b/c' }, body: { frontend: 'nbd' } });
    await client.listEvents({ query: { volume: 'a&b' } });
    await client.listVolumes();
    expect(sent).toEqual([
      {
        method: 'POST',
        url: 'http://node:9420/v1/volumes/a%20b%2Fc/attach',
        body: { frontend: 'nbd' },
        contentType: 'application/json',
      },
      { method: 'GET', url: 'http://node:9420/v1/events?volume=a%26b', body: undefined, contentType: null },
      { method: 'GET', url: 'http://node:9420/v1/volumes', body: undefined, contentType: null },
    ]);
  });

  it('gives nothing back when there is nothing', async () => {
    const { client } = clientOf(204, '');
    expect(await client.deleteVolume({ params: { name: 'a' } })).toBeUndefined();
  });

  it('rejects with the error that the service answered with', async () => {
    const answer = {
      code: 'volume-in-use',
      detail: 'It has clients. Force it.',
      errors: [{ field: 'f', detail: 'd' }],
    };
    const { client } = clientOf(409, JSON.stringify(answer));
    await expect(client.detachVolume({ params: { name: 'a' } })).rejects.toMatchObject(answer);
  });

  it.each([
    [404, '<html>', 'volume-not-found'],
    [400, '{"code":"of-a-newer-version","detail":"No."}', 'invalid-request'],
    [418, '', 'invalid-request'],
    [502, 'Bad Gateway', 'internal'],
  ])('goes by the status %d when it does not know the answer %j', async (status, answer, code) => {
    const expected = status === 404 ? expect.stringMatching(/-not-found$/) : code;
    await expect(clientOf(status, answer).client.getNode()).rejects.toMatchObject({ code: expected as string });
  });

  it('says where it looked when nobody answers', async () => {
    const client = createClient({ url: 'http://127.0.0.1:9' });
    await expect(client.listVolumes()).rejects.toMatchObject({
      code: 'service-unavailable',
      detail: expect.stringContaining('http://127.0.0.1:9') as string,
    });
  });
});
