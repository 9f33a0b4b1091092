/** Deleting goes on in the background, whatever becomes of the service. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { cli } from '../support/real-cli.js';
import { eventually } from '../support/real-deadline.js';
import { freshCairn } from '../support/real-fixture.js';
import type { RealCairn } from '../support/real-cairn.js';

async function volumes(cairn: RealCairn): Promise<string[]> {
  const { body } = await cairn.rest.send('GET', '/v1/volumes');
  return (body as { volumes: { name: string }[] }).volumes.map(({ name }) => name);
}

function replicas(cairn: RealCairn): string[] {
  const directory = join(cairn.pool, 'replicas');
  return existsSync(directory) ? readdirSync(directory) : [];
}

it('a deletion that takes long is not waited for, and the next service finishes it', async () => {
  const cairn = await freshCairn();
  await cairn.createVolume('db', { size: '64MiB' });
  const [dataPlane = 0] = cairn.dataPlanePids();
  process.kill(dataPlane, 'SIGSTOP'); // a disk that takes for ever
  const { status, body } = await cairn.rest.send('DELETE', '/v1/volumes/db');
  expect([status, body]).toMatchObject([202, { state: 'deleting', deletion: { progress: 0 } }]);
  expect((await cairn.rest.send('POST', '/v1/volumes/db/attach', {})).body).toMatchObject({ code: 'volume-busy' });
  expect(replicas(cairn)).toHaveLength(1);

  await cairn.killServe();
  process.kill(dataPlane, 'SIGCONT');
  await cairn.startServe();
  await eventually('the volume is gone', async () => (await volumes(cairn)).length === 0);
  expect(replicas(cairn)).toEqual([]);
});

it('the command line waits for the end, and the name is free then', async () => {
  const cairn = await freshCairn();
  await cairn.createVolume('db', { size: '64MiB' });
  expect(await cli(cairn, 'volume', 'delete', 'db')).toEqual({
    exitCode: 0,
    stdout: 'Volume db deleted.\n',
    stderr: '',
  });
  expect(replicas(cairn)).toEqual([]);
  await cairn.createVolume('db', { size: '64MiB' });
});

it('the data plane may die in the middle', async () => {
  const cairn = await freshCairn();
  await cairn.createVolume('db', { size: '64MiB' });
  const [dataPlane = 0] = cairn.dataPlanePids();
  process.kill(dataPlane, 'SIGSTOP');
  expect((await cairn.rest.send('DELETE', '/v1/volumes/db')).status).toBe(202);
  process.kill(dataPlane, 'SIGKILL');
  await eventually('the volume is gone', async () => (await volumes(cairn)).length === 0);
  expect(replicas(cairn)).toEqual([]);
});
