/** Clients that are broken or hostile get the protocol's error or a closed connection; everybody else is served on. */
import { afterEach, describe, expect, it } from 'vitest';
import {
  command,
  errno,
  nameAndInfos,
  option,
  optionError,
  optionReply,
  optionRequest,
  requestHeader,
} from '../support/nbd-wire.js';
import { greeted, NbdConnection, readOptionReply } from '../support/nbd-connection.js';
import { NbdStream } from '../support/nbd-stream.js';
import { eventually } from '../support/real-deadline.js';
import { sharedCairn } from '../support/real-fixture.js';

const size = 16 * 2 ** 20;

describe.each(['node', 'volume'] as const)('isolation %s', (isolation) => {
  const cairn = sharedCairn({ isolation });
  const name = `wrong-${isolation}`;

  async function served(): Promise<NbdConnection> {
    await cairn()
      .createVolume(name, { size })
      .catch(() => undefined);
    await cairn().attach(name);
    return NbdConnection.open(cairn().address(), name);
  }

  afterEach(async () => {
    const client = await served();
    await client.write(0, Buffer.alloc(4096, 1));
    await client.disconnect();
    await eventually('no client is left', async () => (await cairn().volume(name)).clients === 0);
  });

  async function replyTo(data: Buffer): Promise<number> {
    const stream = await greeted(cairn().address());
    stream.write(data);
    const { type } = await readOptionReply(stream);
    stream.destroy();
    return type;
  }

  describe('while negotiating', () => {
    it('an unknown export is refused and the negotiation goes on', async () => {
      const stream = await greeted(cairn().address());
      stream.write(optionRequest(option.go, nameAndInfos('nobody')));
      expect((await readOptionReply(stream)).type).toBe(optionError.unknown);
      stream.write(optionRequest(option.list));
      expect([optionReply.server, optionReply.ack]).toContain((await readOptionReply(stream)).type);
      stream.destroy();
    });

    it('an unknown option is refused', async () => {
      expect(await replyTo(optionRequest(0x7777, Buffer.from('data')))).toBe(optionError.unsupported);
    });

    it('an option whose lengths contradict each other is refused', async () => {
      const data = nameAndInfos(name);
      data.writeUInt32BE(5_000, 0);
      expect(await replyTo(optionRequest(option.go, data))).toBe(optionError.invalid);
    });

    it('data of a gigabyte is refused or the connection closed, without waiting for it', async () => {
      const stream = await greeted(cairn().address());
      stream.write(optionRequest(option.go, Buffer.alloc(0), 2 ** 30));
      const answer = await readOptionReply(stream).then(
        ({ type }) => type,
        () => 'closed',
      );
      expect([optionError.tooBig, optionError.invalid, 'closed']).toContain(answer);
      stream.destroy();
    });

    it('a wrong magic closes the connection', async () => {
      const stream = await greeted(cairn().address());
      stream.write(Buffer.alloc(16, 'x'));
      await stream.closed;
    });

    it('a client that knows no handshake flag but an unknown one is closed', async () => {
      const stream = await NbdStream.connect(cairn().address());
      await stream.read(18);
      stream.write(Buffer.from([0x80, 0, 0, 3]));
      await stream.closed;
    });

    it.each([1, 4, 10, 20])(
      'a client that goes away after %i bytes of its options leaves nothing behind',
      async (bytes) => {
        const stream = await greeted(cairn().address());
        stream.write(optionRequest(option.go, nameAndInfos(name)).subarray(0, bytes));
        stream.end();
        await stream.closed;
      },
    );
  });

  describe('while serving', () => {
    it.each([
      ['a read past the end', command.read, size, 4096, errno.invalid],
      ['a read across the end', command.read, size - 4096, 8192, errno.invalid],
      ['a read at 2^63', command.read, 2n ** 63n, 4096, errno.invalid],
      ['a read that would wrap around', command.read, 2n ** 64n - 4096n, 8192, errno.invalid],
      ['a read that is not aligned', command.read, 512, 4096, errno.invalid],
      ['a read of half a block', command.read, 0, 2048, errno.invalid],
      ['a trim past the end', command.trim, size, 4096, errno.invalid],
      ['zeroes past the end', command.writeZeroes, size, 4096, errno.noSpace],
      ['an unknown command', 0x99, 0, 0, errno.invalid],
    ])('%s is an error of its own and the connection goes on', async (_what, type, offset, bytes, expected) => {
      const client = await served();
      await expect(client.request(type, offset, bytes)).rejects.toMatchObject({ errno: expected });
      await client.read(0, 4096);
      await client.disconnect();
    });

    it('a write past the end is ENOSPC, its payload is skipped and the connection goes on', async () => {
      const client = await served();
      await expect(client.write(size, Buffer.alloc(8192))).rejects.toMatchObject({ errno: errno.noSpace });
      await client.read(0, 4096);
      await client.disconnect();
    });

    it('a write that is not aligned is EINVAL and the connection goes on', async () => {
      const client = await served();
      await expect(client.write(1, Buffer.alloc(4096))).rejects.toMatchObject({ errno: errno.invalid });
      await client.read(0, 4096);
      await client.disconnect();
    });

    it('a write of a gigabyte is refused or the connection closed, without taking it in', async () => {
      const client = await served();
      const answer = await client.request(command.write, 0, 2 ** 30).catch((error: unknown) => error);
      expect(answer).toBeInstanceOf(Error);
      client.stream.destroy();
    });

    it('a read of a gigabyte is refused or the connection closed', async () => {
      const client = await served();
      await expect(client.request(command.read, 0, 2 ** 30)).rejects.toThrow();
      client.stream.destroy();
    });

    it('a wrong request magic closes the connection', async () => {
      const client = await served();
      client.stream.write(requestHeader(command.read, 1n, 0n, 4096, 0, 0x12345678));
      await client.stream.closed;
    });

    it.each([1, 27, 28, 1000])('a write that ends after %i bytes writes nothing', async (bytes) => {
      const before = await served();
      await before.write(8192, Buffer.alloc(8192, 9));
      const request = Buffer.concat([requestHeader(command.write, 1n, 8192n, 8192), Buffer.alloc(8192, 5)]);
      before.stream.write(request.subarray(0, bytes));
      before.stream.end();
      await before.stream.closed;
      const after = await served();
      expect((await after.read(8192, 8192)).every((byte) => byte === 9)).toBe(true);
      await after.disconnect();
    });

    it('a client that vanishes with requests in flight costs nobody else anything', async () => {
      const client = await served();
      const answers = Array.from({ length: 64 }, (_, block) => client.read(block * 4096, 4096).catch(() => undefined));
      client.stream.destroy();
      await Promise.all(answers);
    });

    it('a client that never reads its replies cannot stop the others', async () => {
      const greedy = await served();
      greedy.stream.pause();
      const replies = Array.from({ length: 256 }, () => greedy.read(0, 128 * 1024).catch(() => undefined));
      const other = await NbdConnection.open(cairn().address(), name);
      for (let block = 0; block < 64; block += 1) await other.read(block * 4096, 4096);
      await other.disconnect();
      greedy.stream.destroy();
      await Promise.all(replies);
    });
  });

  it('two hundred clients that say nothing keep nobody out', async () => {
    const silent = await Promise.all(Array.from({ length: 200 }, () => NbdStream.connect(cairn().address())));
    const client = await served();
    await client.read(0, 4096);
    await client.disconnect();
    for (const stream of silent) stream.destroy();
  });
});
