/** Limits of volumes and shares between them, by real clients. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { NewVolume } from '../../src/api/schemas.js';
import { NbdConnection } from '../support/nbd-connection.js';
import { cli } from '../support/real-cli.js';
import { freshCairn, sharedCairn, volumeName } from '../support/real-fixture.js';
import type { RealCairn } from '../support/real-cairn.js';
import { needsTools, run } from '../support/real-tools.js';
import { scratchDirectory } from '../support/scratch.js';

const mebibyte = 2 ** 20;

interface Load {
  blockBytes?: number;
  depth?: number;
  connections?: number;
  seconds?: number;
  pattern?: 'randread' | 'randwrite';
}

/** What fio got a second: operations, and bytes. */
async function saturate(uri: string, load: Load = {}): Promise<{ iops: number; bandwidth: number }> {
  const { blockBytes = 4096, depth = 32, connections = 1, seconds = 4, pattern = 'randread' } = load;
  const report = join(scratchDirectory(), 'report.json');
  const shape = [`--rw=${pattern}`, `--bs=${blockBytes}`, `--iodepth=${depth}`, `--numjobs=${connections}`];
  const time = ['--size=64M', '--time_based', `--runtime=${seconds}`, '--group_reporting'];
  const output = ['--output-format=json', `--output=${report}`];
  await run('fio', ['--name=saturate', '--ioengine=nbd', `--uri=${uri}`, ...shape, ...time, ...output]);
  const text = readFileSync(report, 'utf8');
  const { jobs } = JSON.parse(text.slice(text.indexOf('{'))) as FioReport;
  const sums = jobs.flatMap(({ read, write }) => [read, write]);
  return {
    iops: sums.reduce((sum, { iops }) => sum + iops, 0),
    bandwidth: sums.reduce((sum, { bw_bytes: bytes }) => sum + bytes, 0),
  };
}

interface FioReport {
  jobs: Record<'read' | 'write', { iops: number; bw_bytes: number }>[];
}

/** Never 5 % above the limit, and not 5 % below in the best of three: a machine that stood still has lost its time. */
async function expectRate(limit: number, measure: () => Promise<number>): Promise<void> {
  const least = limit * 0.95;
  let best = 0;
  for (let attempt = 0; attempt < 3 && best <= least; attempt += 1) {
    const rate = await measure();
    expect(rate).toBeLessThan(limit * 1.05);
    best = Math.max(best, rate);
  }
  expect(best).toBeGreaterThan(least);
}

describe.each(['node', 'volume'] as const)('isolation %s', (isolation) => {
  const cairn = sharedCairn({ isolation });

  async function served(limits: NewVolume['limits']): Promise<string> {
    const name = volumeName();
    await cairn().serveVolume(name, { size: '64MiB', ...(limits && { limits }) });
    return name;
  }

  it('operations are limited to 5 %, by one connection or by several', async (context) => {
    needsTools(context, 'fio');
    const name = await served({ iops: 700 });
    for (const connections of [1, 4])
      await expectRate(700, async () => (await saturate(cairn().uri(name), { connections })).iops);
    await cairn().deleteVolume(name);
  });

  it('bytes are limited to 5 %, whatever the size of a request', async (context) => {
    needsTools(context, 'fio');
    const name = await served({ bandwidth: '20MiB' });
    for (const blockBytes of [4096, 128 * 1024])
      await expectRate(20 * mebibyte, async () => {
        return (await saturate(cairn().uri(name), { blockBytes, depth: 16 })).bandwidth;
      });
    await cairn().deleteVolume(name);
  });

  it('a burst is what is saved up, and a change holds for clients that are connected', async (context) => {
    needsTools(context, 'fio');
    let name = '';
    // 2 s of 1000, then 2 s of 200.
    await expectRate(600, async () => {
      name = await served({ iops: 200, iopsBurst: 1000, burstSeconds: 2 });
      return (await saturate(cairn().uri(name), { seconds: 4 })).iops;
    });
    const running = saturate(cairn().uri(name), { seconds: 4 });
    expect(await cli(cairn(), 'volume', 'limit', name, '--iops', '3000', '--iops-burst', 'none')).toMatchObject({
      exitCode: 0,
      stdout: `Volume ${name} is limited to 3000 IOPS.\n`,
    });
    expect((await running).iops).toBeGreaterThan(1500);
    await cairn().deleteVolume(name);
  });

  it('a volume is taken from its clients without waiting for its limits', async () => {
    const name = await served({ iops: 1 });
    const client = await NbdConnection.open(cairn().address(), name);
    const writes = Array.from({ length: 100 }, (_, block) => client.write(block * 4096, Buffer.alloc(4096, 1)));
    const outcome = Promise.allSettled(writes);
    await writes[0];
    const begun = performance.now();
    await cairn().detach(name, true);
    expect(performance.now() - begun).toBeLessThan(20_000);
    await outcome;
    await cairn().attach(name);
    expect((await cairn().volume(name)).limits.iops).toBe(1);
    await cairn().deleteVolume(name);
  });
});

it('limits outlive the service and its data plane, and a limited volume keeps no other waiting', async (context) => {
  needsTools(context, 'fio');
  const cairn = await freshCairn();
  await cairn.serveVolume('slow', { size: '64MiB', limits: { bandwidth: '1MiB' } });
  await cairn.serveVolume('fast', { size: '64MiB' });
  await cairn.killServe();
  for (const pid of cairn.dataPlanePids()) process.kill(pid, 'SIGKILL');
  await cairn.startServe();
  // As much as would fill all buffers, were it let in.
  const held = saturate(cairn.uri('slow'), { blockBytes: mebibyte, depth: 16, connections: 8, pattern: 'randwrite' });
  const { bandwidth } = await saturate(cairn.uri('fast'), { blockBytes: mebibyte, depth: 2, seconds: 2 });
  expect(bandwidth).toBeGreaterThan(20 * mebibyte);
  await expectThrottled(cairn, 'slow');
  await cairn.rest.call('PATCH', '/v1/volumes/slow/limits', { bandwidth: null });
  await held;
});

it('two volumes that are saturated share a node, however deep their queues are', async (context) => {
  needsTools(context, 'fio');
  const cairn = await freshCairn();
  for (const name of ['shallow', 'deep']) await cairn.serveVolume(name, { size: '64MiB' });
  const [shallow, deep] = await Promise.all([
    saturate(cairn.uri('shallow', 'unix'), { depth: 32, seconds: 6, pattern: 'randwrite' }),
    saturate(cairn.uri('deep', 'unix'), { depth: 32, connections: 8, seconds: 6, pattern: 'randwrite' }),
  ]);
  // Without shares it is 1 to 9 or less; with them less than 4 to 6 where the clients themselves lack a processor.
  expect(shallow.iops / (shallow.iops + deep.iops)).toBeGreaterThan(0.2);
});

async function expectThrottled(cairn: RealCairn, volume: string): Promise<void> {
  const { body } = await cairn.rest.send('GET', '/metrics');
  const found = new RegExp(`^cairn_volume_throttled_total\\{volume="${volume}"\\} (\\d+)$`, 'm').exec(String(body));
  expect(Number(found?.[1])).toBeGreaterThan(0);
}
