/** Cairn's targets and the clients of others: libiscsi's programs, qemu-img and qemu-io. */
import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { QemuIo } from '../support/qemu-io.js';
import { mulberry32, testSeed } from '../support/random.js';
import type { RealCairn } from '../support/real-cairn.js';
import { cli } from '../support/real-cli.js';
import { eventually } from '../support/real-deadline.js';
import { freshCairn, sharedCairn, volumeName } from '../support/real-fixture.js';
import { isRunning } from '../support/real-process.js';
import { needsTools, run } from '../support/real-tools.js';
import { scratchDirectory } from '../support/scratch.js';

const mebibyte = 2 ** 20;
const sizeBytes = 64 * mebibyte;

beforeEach((context) => {
  needsTools(context, 'iscsi-ls', 'iscsi-inq', 'iscsi-readcapacity16', 'qemu-img', 'qemu-io');
});

async function served(cairn: RealCairn, request: object = {}): Promise<string> {
  const name = volumeName();
  await cairn.createVolume(name, { size: sizeBytes, ...request });
  await cairn.attach(name, 'iscsi');
  return name;
}

/** A new image file. */
function image(bytes: Uint8Array): string {
  const path = join(scratchDirectory(), 'image');
  writeFileSync(path, bytes);
  return path;
}

/** Whether the client gets in. */
function logsIn(url: string, ...options: string[]): Promise<boolean> {
  return run('iscsi-inq', [...options, url]).then(
    () => true,
    () => false,
  );
}

describe('libiscsi', () => {
  const cairn = sharedCairn();

  it('finds targets and their units', async () => {
    const name = await served(cairn());
    const found = await run('iscsi-ls', ['-s', `iscsi://${cairn().iscsiPortal}`]);
    expect(found).toContain(`Target:${cairn().targetName(name)} Portal:${cairn().iscsiPortal},1`);
    expect(found).toMatch(/Lun:0 +Type:DIRECT_ACCESS \(Size:6[34]M\)/);
  });

  it('reads identity and capacity', async () => {
    const name = await served(cairn());
    const [url, other] = [cairn().iscsiUri(name), cairn().iscsiUri(await served(cairn()))];
    expect(await run('iscsi-inq', [url])).toMatch(/Vendor:CAIRN/i);
    const page = (code: number, of: string) => run('iscsi-inq', ['-e', '1', '-c', `${code}`, of]);
    for (const code of [0x80, 0x83]) {
      expect(await page(code, url)).toBe(await page(code, url));
      expect(await page(code, url)).not.toBe(await page(code, other));
    }
    expect(await page(0x83, url)).toContain('Designator Type:(3) NAA');
    expect((await run('iscsi-readcapacity16', ['-s', url])).trim()).toBe(String(sizeBytes));
  });

  it('sees a volume grow', async () => {
    const name = await served(cairn());
    await cairn().resize(name, 2 * sizeBytes);
    expect((await run('iscsi-readcapacity16', ['-s', cairn().iscsiUri(name)])).trim()).toBe(String(2 * sizeBytes));
  });

  it('is told that there is no such target, and no such unit', async () => {
    const name = await served(cairn());
    await expect(run('iscsi-inq', [cairn().iscsiUri('nobody')])).rejects.toThrow(/not found|0x0203|515/i);
    await expect(run('iscsi-inq', [cairn().iscsiUri(name).replace(/0$/, '7')])).rejects.toThrow();
  });
});

describe('qemu', () => {
  const cairn = sharedCairn();

  it('converts an image into a volume and back', async () => {
    const name = await served(cairn());
    const content = Buffer.alloc(16 * mebibyte);
    randomBytes(3 * mebibyte).copy(content, 5 * mebibyte);
    const path = image(content);
    const url = cairn().iscsiUri(name);
    await run('qemu-img', ['convert', '-n', '-f', 'raw', '-O', 'raw', path, url]);
    expect(await run('qemu-img', ['compare', '-f', 'raw', '-F', 'raw', path, url])).toContain('identical');
    expect(await run('qemu-img', ['info', '-f', 'raw', url])).toContain(`(${sizeBytes} bytes)`);
    const back = join(scratchDirectory(), 'back');
    await run('qemu-img', ['convert', '-f', 'raw', '-O', 'raw', url, back]);
    expect(readFileSync(back).subarray(0, content.length).equals(content)).toBe(true);
  });

  it('sees what is data and what is not', async () => {
    const name = await served(cairn());
    const client = await QemuIo.open(cairn().iscsiUri(name));
    await client.run('write -P 1 1M 1M');
    await client.run('flush');
    await client.close();
    const args = ['map', '--output=json', '-f', 'raw', cairn().iscsiUri(name)];
    const map = JSON.parse(await run('qemu-img', args)) as { start: number; length: number; zero: boolean }[];
    expect(map.filter(({ zero }) => !zero)).toEqual([expect.objectContaining({ start: mebibyte, length: mebibyte })]);
  });

  it.each([
    ['writes and reads a pattern', ['write -P 0xab 0 1M', 'flush', 'read -P 0xab 0 1M', 'read -P 0 1M 1M']],
    ['writes to the last sector', ['write -P 9 67108352 512', 'read -P 9 67108352 512', 'read -P 0 67104768 3584']],
    ['writes much at once', ['write -P 3 0 32M', 'read -P 3 0 32M', 'read -P 0 32M 1M']],
    ['merges writes of a sector', ['write -P 1 0 4k', 'write -P 2 512 512', 'read -P 1 0 512', 'read -P 2 512 512']],
    ['reads zeros after a discard', ['write -P 5 0 4M', 'discard 1M 2M', 'read -P 0 1M 2M', 'read -P 5 3M 1M']],
    ['writes zeroes', ['write -P 6 0 4M', 'write -z 1M 1M', 'read -P 0 1M 1M', 'read -P 6 2M 2M']],
    ['writes zeroes and may unmap', ['write -P 6 0 4M', 'write -z -u 1M 1M', 'read -P 0 1M 1M', 'read -P 6 0 1M']],
    ['writes with FUA', ['write -f -P 7 0 64k', 'write -z -f 64k 64k', 'read -P 7 0 64k', 'read -P 0 64k 64k']],
    [
      'writes many requests at once',
      ['aio_write -P 1 0 1M', 'aio_write -P 2 1M 1M', 'aio_write -P 3 2M 1M', 'aio_flush', 'read -P 2 1M 1M'],
    ],
  ])('qemu-io %s', async (_, commands) => {
    const name = await served(cairn(), { blockSize: 512 });
    const client = await QemuIo.open(cairn().iscsiUri(name), '--discard=unmap');
    for (const command of commands) await client.run(command);
    await client.close();
  });

  it.each(['none', 'none-crc32c', 'crc32c-none', 'crc32c'])('agrees on the header digest %s', async (digest) => {
    const name = await served(cairn());
    const target = `file.portal=${cairn().iscsiPortal},file.target=${cairn().targetName(name)},file.lun=0`;
    const client = await QemuIo.open(
      `driver=raw,file.driver=iscsi,file.transport=tcp,${target},file.header-digest=${digest}`,
    );
    await client.run('write -P 4 0 8M');
    await client.run('read -P 4 0 8M');
    await client.close();
  });

  it('a discard gives the space back', async () => {
    const name = await served(cairn());
    const client = await QemuIo.open(cairn().iscsiUri(name), '--discard=unmap');
    await client.run('write -P 5 0 32M');
    const full = await allocated(cairn(), name);
    await client.run('discard 0 32M');
    await client.run('flush');
    expect(await allocated(cairn(), name)).toBeLessThan(full - 30 * mebibyte);
    await client.close();
  });

  it('writes and reads at random what a model of the volume holds', async () => {
    const random = mulberry32(testSeed());
    const below = (limit: number) => Math.floor(random() * limit);
    const name = await served(cairn(), { blockSize: 512 });
    const client = await QemuIo.open(cairn().iscsiUri(name), '--discard=unmap');
    const model = new Uint8Array(16 * mebibyte); // a pattern a sector would do, but this says it plainly
    const sector = 512;
    const sectors = model.length / sector;
    for (let step = 0; step < 400; step += 1) {
      const length = 1 + below(random() < 0.1 ? 4096 : 64);
      const at = below(sectors - length + 1);
      const where = `${at * sector} ${length * sector}`;
      const part = model.subarray(at * sector, (at + length) * sector);
      const pattern = 1 + below(255);
      const kind = below(8);
      if (kind < 4) {
        await client.run(`write ${kind === 0 ? '-f ' : ''}-P ${pattern} ${where}`);
        part.fill(pattern);
      } else if (kind === 4) {
        await client.run(`write -z ${random() < 0.5 ? '-u ' : ''}${where}`);
        part.fill(0);
      } else if (kind === 5) {
        // Discarded sectors read as zeros: the unit says so (LBPRZ).
        await client.run(`discard ${where}`);
        part.fill(0);
      } else {
        for (const { value, start, length: count } of runsOf(part)) {
          await client.run(`read -P ${value} ${at * sector + start} ${count}`);
        }
      }
    }
    await client.run('flush');
    await client.close();
    const args = ['compare', '-f', 'raw', '-F', 'raw', image(model), cairn().iscsiUri(name)];
    expect(await run('qemu-img', args)).toContain('identical');
  });
});

/** Bytes that the volume's files take. */
async function allocated(cairn: RealCairn, name: string): Promise<number> {
  return (await cairn.volume(name)).allocatedBytes ?? 0;
}

function runsOf(bytes: Uint8Array): { value: number; start: number; length: number }[] {
  const runs: { value: number; start: number; length: number }[] = [];
  for (let at = 0; at < bytes.length;) {
    const value = bytes[at] ?? 0;
    let end = at;
    while (end < bytes.length && bytes[end] === value) end += 1;
    runs.push({ value, start: at, length: end - at });
    at = end;
  }
  return runs;
}

const secrets = { login: 'sixteen-letters-', back: 'fourteen-others' };

/** Makes a directory of keys, with both secrets. */
function keysWithSecrets(): string {
  const keys = join(scratchDirectory(), 'keys');
  mkdirSync(keys, { mode: 0o700 });
  for (const [key, secret] of Object.entries(secrets)) writeFileSync(join(keys, key), secret, { mode: 0o600 });
  return keys;
}

/** Cairn with both secrets among its keys. */
async function cairnWithSecrets(
  environment: Record<string, string> = {},
  keys = keysWithSecrets(),
): Promise<RealCairn> {
  return freshCairn({ environment: { CAIRN_KEYS_DIRECTORY: keys, ...environment } });
}

async function setAccess(cairn: RealCairn, volume: string, ...options: string[]): Promise<void> {
  const outcome = await cli(cairn, 'access', 'set', volume, ...options);
  expect(outcome).toMatchObject({ exitCode: 0 });
}

describe('who may log in', () => {
  const chap = ['--chap-user', 'alice', '--chap-secret', 'login'];

  it('one with the right name and secret of CHAP', async () => {
    const cairn = await cairnWithSecrets();
    const name = await served(cairn);
    await setAccess(cairn, name, ...chap);
    const as = (user: string, secret: string) => logsIn(cairn.iscsiUri(name, `${user}%${secret}`));
    expect(await as('alice', secrets.login)).toBe(true);
    expect(await as('alice', `${secrets.login}x`)).toBe(false);
    expect(await as('mallory', secrets.login)).toBe(false);
    expect(await logsIn(cairn.iscsiUri(name))).toBe(false);
    await cli(cairn, 'access', 'clear', name);
    expect(await logsIn(cairn.iscsiUri(name))).toBe(true);
  });

  it('stays as it was when the service starts anew without the secrets', async () => {
    const keys = keysWithSecrets();
    const cairn = await cairnWithSecrets({}, keys);
    const name = await served(cairn);
    await setAccess(cairn, name, ...chap);
    await cairn.killServe();
    rmSync(join(keys, 'login'));
    await cairn.startServe();
    expect(await cairn.volume(name)).toMatchObject({ state: 'faulted', frontend: 'iscsi' });
    expect(await logsIn(cairn.iscsiUri(name))).toBe(false);
    expect(await logsIn(cairn.iscsiUri(name, `alice%${secrets.login}`))).toBe(true);
  });

  it('nobody changes when a secret is too short', async () => {
    const keys = keysWithSecrets();
    const cairn = await cairnWithSecrets({}, keys);
    const name = await served(cairn);
    writeFileSync(join(keys, 'short'), 'elevenbytes', { mode: 0o600 });
    const refused = await cli(cairn, 'access', 'set', name, '--chap-user', 'alice', '--chap-secret', 'short');
    expect(refused.exitCode).not.toBe(0);
    expect(refused.stderr).toMatch(/11 bytes long: choose one of 12 to 255/);
    expect(await logsIn(cairn.iscsiUri(name))).toBe(true);
  });

  it('one that Cairn can prove itself to', async () => {
    const cairn = await cairnWithSecrets();
    const name = await served(cairn);
    await setAccess(cairn, name, ...chap, '--mutual-user', 'cairn', '--mutual-secret', 'back');
    const asking = (user: string, secret: string) =>
      logsIn(`${cairn.iscsiUri(name, `alice%${secrets.login}`)}?target_user=${user}&target_password=${secret}`);
    expect(await asking('cairn', secrets.back)).toBe(true);
    expect(await asking('cairn', secrets.login)).toBe(false);
    expect(await asking('alice', secrets.back)).toBe(false);
    expect(await logsIn(cairn.iscsiUri(name, `alice%${secrets.login}`))).toBe(true);
  });

  it('one of the initiators that are named', async () => {
    const cairn = await cairnWithSecrets();
    const name = await served(cairn);
    await setAccess(cairn, name, '--initiator', 'iqn.2026-11.test:one', '--initiator', 'iqn.2026-11.test:two');
    expect(await logsIn(cairn.iscsiUri(name), '-i', 'iqn.2026-11.test:two')).toBe(true);
    expect(await logsIn(cairn.iscsiUri(name), '-i', 'iqn.2026-11.test:three')).toBe(false);
    // A target that one may not use is not shown either.
    const seenBy = (initiator: string) => run('iscsi-ls', ['-i', initiator, `iscsi://${cairn.iscsiPortal}`]);
    expect(await seenBy('iqn.2026-11.test:one')).toContain(cairn.targetName(name));
    expect(await seenBy('iqn.2026-11.test:three')).not.toContain(cairn.targetName(name));
  });

  it('keeps those out who may not discover', async () => {
    const cairn = await cairnWithSecrets({
      CAIRN_ISCSI_DISCOVERY_USER: 'finder',
      CAIRN_ISCSI_DISCOVERY_SECRET: 'login',
    });
    const name = await served(cairn);
    const discover = (user = '') => run('iscsi-ls', [`iscsi://${user}${cairn.iscsiPortal}`]);
    expect(await discover(`finder%${secrets.login}@`)).toContain(cairn.targetName(name));
    await expect(discover()).rejects.toThrow();
    await expect(discover(`finder%${secrets.back}@`)).rejects.toThrow();
  });
});

it('serves on IPv6', async () => {
  const cairn = await freshCairn({ environment: { CAIRN_ISCSI_HOST: '::1' } });
  const name = await served(cairn);
  const address = cairn.iscsiUri(name).replace('127.0.0.1', '[::1]');
  expect((await cairn.volume(name)).uris).toContain(address);
  expect(await logsIn(address)).toBe(true);
  expect(await run('iscsi-ls', [`iscsi://${cairn.iscsiPortal.replace('127.0.0.1', '[::1]')}`])).toContain('[::1]');
});

describe.each(['node', 'volume'] as const)('isolation %s', (isolation) => {
  it('a client goes on while the service restarts', async () => {
    const cairn = await freshCairn({ isolation });
    const name = await served(cairn);
    const client = await QemuIo.open(cairn.iscsiUri(name));
    await client.run('write -P 1 0 1M');
    await cairn.killServe();
    await client.run('write -P 2 1M 1M');
    expect(await logsIn(cairn.iscsiUri(name))).toBe(true);
    await cairn.startServe();
    expect(await cairn.volume(name)).toMatchObject({ state: 'attached', frontend: 'iscsi' });
    await client.run('read -P 1 0 1M');
    await client.run('read -P 2 1M 1M');
    await client.close();
  });

  it('what was flushed or written with FUA outlives kill -9 under a client, which goes on by itself', async () => {
    const cairn = await freshCairn({ isolation });
    const name = await served(cairn);
    const client = await QemuIo.open(cairn.iscsiUri(name));
    const blocks = 64;
    const block = (number: number) => `${number * 65_536} 64k`;
    for (const round of [1, 2, 3]) {
      for (let number = 0; number < blocks; number += 1) {
        await client.run(`write ${number % 2 === 0 ? '-f ' : ''}-P ${round * 64 + number} ${block(number)}`);
      }
      await client.run('flush');
      const pid = await cairn.holderOf(name);
      const written = client.run('write -P 255 8M 8M'); // under way when it dies: it is sent again
      process.kill(pid, 'SIGKILL');
      await eventually('the process has ended', () => !isRunning(pid));
      await written;
      for (let number = 0; number < blocks; number += 1) {
        await client.run(`read -P ${round * 64 + number} ${block(number)}`);
      }
      await client.run('read -P 255 8M 8M');
    }
    await client.close();
  });
});
