/** The `cairn` command against a running service: what it prints, and how it ends. */
import { expect, it } from 'vitest';
import { NbdConnection } from '../support/nbd-connection.js';
import { cli as run } from '../support/real-cli.js';
import { sharedCairn, volumeName } from '../support/real-fixture.js';

const cairn = sharedCairn();

const cli = (...args: string[]) => run(cairn(), ...args);

async function json(...args: string[]): Promise<unknown> {
  const { exitCode, stdout, stderr } = await cli('-o', 'json', ...args);
  expect([exitCode, stderr]).toEqual([0, '']);
  return stdout === '' ? undefined : (JSON.parse(stdout) as unknown);
}

it('a volume lives from create to delete by the command line alone', async () => {
  const name = volumeName();
  expect(await json('volume', 'create', name, '--size', '64MiB')).toMatchObject({
    name,
    size: 2 ** 26,
    state: 'detached',
  });
  const attached = await cli('volume', 'attach', name);
  expect(attached.stdout).toContain(cairn().uri(name));
  const client = await NbdConnection.open(cairn().address(), name);
  await client.write(0, Buffer.alloc(4096, 1));
  expect(await json('snapshot', 'create', name, 'one')).toMatchObject({ name: 'one', state: 'ready' });
  await client.write(0, Buffer.alloc(4096, 2));
  await client.disconnect();
  expect((await cli('snapshot', 'list', name)).stdout).toContain('one');
  expect((await cli('volume', 'list')).stdout).toContain(name);
  expect(await json('volume', 'show', name)).toMatchObject({ state: 'attached', snapshotCount: 1 });
  expect((await cli('status')).exitCode).toBe(0);

  await cli('volume', 'detach', name);
  expect((await cli('snapshot', 'revert', name, 'one')).exitCode).toBe(0);
  await cli('volume', 'attach', name);
  const again = await NbdConnection.open(cairn().address(), name);
  expect((await again.read(0, 4096))[0]).toBe(1);
  await again.disconnect();

  expect((await cli('snapshot', 'delete', name, 'one')).exitCode).toBe(0);
  await cli('volume', 'detach', name);
  expect((await cli('volume', 'delete', name)).exitCode).toBe(0);
  expect(await json('volume', 'list')).toEqual({ volumes: [] });
});

it('an error goes to stderr with exit code 1', async () => {
  const { exitCode, stdout, stderr } = await cli('volume', 'show', 'nobody');
  expect([exitCode, stdout]).toEqual([1, '']);
  expect(stderr).toContain('nobody');
});

it.each([
  [['volume', 'create']],
  [['volume', 'explode']],
  [['nonsense']],
  [['volume', 'create', 'a', '--colour', 'red']],
])('%j is wrong usage: exit code 2', async (args) => {
  const { exitCode, stderr } = await cli(...args);
  expect(exitCode).toBe(2);
  expect(stderr).not.toBe('');
});

it('a service that does not run is an error that says so', async () => {
  const { exitCode, stderr } = await cli('--server', 'http://127.0.0.1:9', 'volume', 'list');
  expect(exitCode).toBe(1);
  expect(stderr).toContain('127.0.0.1:9');
});
