/** Encrypted volumes of the addon, with stock cryptsetup as the other side: its programs work on plain files, in user space. */
import { randomBytes } from 'node:crypto';
import { copyFileSync, existsSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { exportOf, listen, openNew, startPlane, whyNoAddon, type TestPlane } from '../support/native-plane.js';
import { needsTools, run } from '../support/real-tools.js';

const mebibyte = 1024 * 1024;
const headerBytes = 16 * mebibyte;
const passphrase = Buffer.from('correct horse battery staple');
const fast = ['--pbkdf', 'pbkdf2', '--pbkdf-force-iterations', '1000'];

beforeEach((context) => {
  if (whyNoAddon !== null) context.skip(whyNoAddon);
});

/** A volume of so many bytes of plaintext, encrypted and unlocked. */
async function encrypted(plane: TestPlane, name: string, bytes: number, blockSize = 4096): Promise<void> {
  await openNew(plane, name, { sizeBytes: headerBytes + bytes, blockSize });
  await plane.native.formatEncryption(name, { sectorSize: blockSize, allowDiscards: true }, passphrase);
  await plane.native.unlockVolume(name, passphrase);
}

async function uriOf(plane: TestPlane, name: string): Promise<string> {
  const address = await listen(plane);
  if (!('path' in address)) throw new Error('it listens at a path');
  return `nbd+unix:///${name}?socket=${address.path}`;
}

/** What a client reads from the export. */
async function contentOf(plane: TestPlane, name: string): Promise<Buffer> {
  const file = join(plane.directory, `${name}.img`);
  await run('nbdcopy', [await uriOf(plane, name), file]);
  return readFileSync(file);
}

function fileOf(plane: TestPlane, name: string, content: Uint8Array): string {
  const file = join(plane.directory, name);
  writeFileSync(file, content);
  return file;
}

describe.each([512, 4096])('a volume with blocks of %i bytes', (blockSize) => {
  it('is decrypted by stock cryptsetup', async (context) => {
    needsTools(context, 'cryptsetup', 'nbdcopy');
    const plane = startPlane();
    await encrypted(plane, 'volume', 2 * mebibyte, blockSize);
    await plane.native.addExport(exportOf('volume', { decrypted: true }));
    await plane.native.addExport(exportOf('volume', { name: 'raw', readOnly: true }));
    const written = randomBytes(2 * mebibyte);
    await run('nbdcopy', ['--flush', fileOf(plane, 'plain', written), await uriOf(plane, 'volume')]);

    const image = fileOf(plane, 'image', await contentOf(plane, 'raw'));
    expect(await run('cryptsetup', ['luksDump', image])).toContain('aes-xts-plain64');
    const key = fileOf(plane, 'key', passphrase);
    await run('cryptsetup', ['open', '--test-passphrase', '--key-file', key, image]);
    await expect(
      run('cryptsetup', ['open', '--test-passphrase', '--key-file', fileOf(plane, 'wrong', randomBytes(8)), image]),
    ).rejects.toThrow(/No key available/);
    const header = join(plane.directory, 'header');
    const decrypt = ['reencrypt', '--batch-mode', '--decrypt', '--force-offline-reencrypt', '--header', header];
    await run('cryptsetup', [...decrypt, '--key-file', key, image]);
    const decrypted = readFileSync(image).subarray(0, written.length);
    expect(decrypted.equals(written)).toBe(true);
    expect((await contentOf(plane, 'volume')).equals(written)).toBe(true);
  });

  it('serves what stock cryptsetup has encrypted', async (context) => {
    needsTools(context, 'cryptsetup', 'nbdcopy');
    const plane = startPlane();
    const plain = randomBytes(2 * mebibyte);
    const image = fileOf(plane, 'image', plain);
    truncateSync(image, plain.length + 32 * mebibyte);
    const key = fileOf(plane, 'key', passphrase);
    const encrypt = ['reencrypt', '--batch-mode', '--encrypt', '--type', 'luks2', '--force-offline-reencrypt'];
    const shape = ['--reduce-device-size', '32M', '--sector-size', String(blockSize)];
    await run('cryptsetup', [...encrypt, ...shape, ...fast, '--key-file', key, image]);

    await openNew(plane, 'volume', { sizeBytes: plain.length + 32 * mebibyte, blockSize });
    await plane.native.addExport(exportOf('volume'));
    await run('nbdcopy', ['--flush', image, await uriOf(plane, 'volume')]);
    await plane.native.removeExport('volume', false);
    await plane.native.unlockVolume('volume', passphrase);
    await plane.native.addExport(exportOf('volume', { decrypted: true }));
    expect((await contentOf(plane, 'volume')).subarray(0, plain.length).equals(plain)).toBe(true);
  });
});

describe('unlockVolume', () => {
  it('refuses a wrong passphrase and changes nothing', async () => {
    const plane = startPlane();
    await openNew(plane, 'volume', { sizeBytes: headerBytes + mebibyte });
    const { native } = plane;
    await native.formatEncryption('volume', { sectorSize: 4096, allowDiscards: true }, passphrase);
    await expect(native.unlockVolume('volume', Buffer.from('wrong'))).rejects.toMatchObject({ code: 'WRONG_KEY' });
    expect(await native.volumeInfo('volume')).toMatchObject({ unlocked: false });
    await expect(native.addExport(exportOf('volume', { decrypted: true }))).rejects.toMatchObject({
      code: 'VOLUME_KEY_MISSING',
    });
    await native.unlockVolume('volume', passphrase);
    expect(await native.volumeInfo('volume')).toMatchObject({ unlocked: true });
    await native.unlockVolume('volume', passphrase);
  });

  it('says that a volume has no header', async () => {
    const { native, ...plane } = startPlane();
    await openNew({ native, ...plane } as TestPlane, 'volume');
    await expect(native.unlockVolume('volume', passphrase)).rejects.toMatchObject({ code: 'HEADER_DAMAGED' });
  });

  it('mends a damaged header from its other copy, and says so', async (context) => {
    needsTools(context, 'nbdcopy');
    const plane = startPlane();
    await openNew(plane, 'volume', { sizeBytes: headerBytes + mebibyte });
    await plane.native.formatEncryption('volume', { sectorSize: 4096, allowDiscards: true }, passphrase);
    await plane.native.addExport(exportOf('volume', { name: 'raw' }));
    const whole = await contentOf(plane, 'raw');
    const damaged = Buffer.from(whole).fill(0xee, 0, 4096);
    await run('nbdcopy', ['--flush', fileOf(plane, 'damaged', damaged), await uriOf(plane, 'raw')]);
    await plane.native.unlockVolume('volume', passphrase);
    expect(await plane.event('header-repaired', 'volume')).toMatchObject({ message: expect.stringContaining('LUKS2') });
    expect((await contentOf(plane, 'raw')).subarray(0, 6).equals(whole.subarray(0, 6))).toBe(true);
  });

  it.each([[''], ['text'], [7], [new Uint8Array()]])('takes no passphrase %j', async (wrong) => {
    const { native } = startPlane();
    expect(() => native.unlockVolume('volume', wrong as Uint8Array)).toThrow(/passphrase must be a Uint8Array/);
  });
});

describe('snapshots of an encrypted volume', () => {
  it('are decrypted as it is', async (context) => {
    needsTools(context, 'nbdcopy');
    const plane = startPlane();
    await encrypted(plane, 'volume', mebibyte);
    await plane.native.addExport(exportOf('volume', { decrypted: true }));
    const first = randomBytes(mebibyte);
    const uri = await uriOf(plane, 'volume');
    await run('nbdcopy', ['--flush', fileOf(plane, 'first', first), uri]);
    await plane.native.createSnapshot('volume', '6d1f5a3e-2f52-4a8e-9c8e-0b8f3f0d6a01', 'before');
    await run('nbdcopy', ['--flush', fileOf(plane, 'second', randomBytes(mebibyte)), uri]);
    expect((await contentOf(plane, 'volume@before')).equals(first)).toBe(true);
  });
});

describe('reencryptVolume', () => {
  const id = '0d1f5a3e-2f52-4a8e-9c8e-0b8f3f0d6a02';

  it('gives a volume that is used another key, which stock cryptsetup finds', async (context) => {
    needsTools(context, 'cryptsetup', 'nbdcopy');
    const plane = startPlane();
    const { native } = plane;
    await encrypted(plane, 'volume', 8 * mebibyte);
    await native.addExport(exportOf('volume', { decrypted: true }));
    await native.addExport(exportOf('volume', { name: 'raw', readOnly: true }));
    const written = randomBytes(8 * mebibyte);
    await run('nbdcopy', ['--flush', fileOf(plane, 'plain', written), await uriOf(plane, 'volume')]);
    await native.createSnapshot('volume', '6d1f5a3e-2f52-4a8e-9c8e-0b8f3f0d6a01', 'before');
    const before = await contentOf(plane, 'raw');

    await native.reencryptVolume('volume', id, passphrase);
    expect((await contentOf(plane, 'volume')).equals(written)).toBe(true);
    await plane.event('reencryption-finished', 'volume');
    expect((await contentOf(plane, 'volume')).equals(written)).toBe(true);
    expect((await contentOf(plane, 'volume@before')).equals(written)).toBe(true);
    expect(await native.volumeInfo('volume')).toMatchObject({ reencryption: null });
    await native.reencryptVolume('volume', id, passphrase);
    expect(await native.volumeInfo('volume')).toMatchObject({ reencryption: null });

    const after = await contentOf(plane, 'raw');
    for (let at = headerBytes; at < after.length; at += 4096)
      expect(after.subarray(at, at + 4096).equals(before.subarray(at, at + 4096))).toBe(false);
    const image = fileOf(plane, 'image', after);
    const key = fileOf(plane, 'key', passphrase);
    expect((await run('cryptsetup', ['luksDump', image])).match(/^ +\d+: luks2/gm)).toHaveLength(1);
    // cryptsetup 2.6 decrypts in place only a device whose digest has the number 0, which its own re-encryption gives it again.
    await run('cryptsetup', [
      'reencrypt',
      '--batch-mode',
      '--force-offline-reencrypt',
      ...fast,
      '--key-file',
      key,
      image,
    ]);
    const header = join(plane.directory, 'header');
    const decrypt = ['reencrypt', '--batch-mode', '--decrypt', '--force-offline-reencrypt', '--header', header];
    await run('cryptsetup', [...decrypt, '--key-file', key, image]);
    expect(readFileSync(image).subarray(0, written.length).equals(written)).toBe(true);
  });

  it('refuses a wrong passphrase, and a volume that is locked', async () => {
    const plane = startPlane();
    const { native } = plane;
    await openNew(plane, 'volume', { sizeBytes: headerBytes + mebibyte });
    await native.formatEncryption('volume', { sectorSize: 4096, allowDiscards: true }, passphrase);
    await expect(native.reencryptVolume('volume', id, passphrase)).rejects.toMatchObject({
      code: 'VOLUME_KEY_MISSING',
    });
    await native.unlockVolume('volume', passphrase);
    await expect(native.reencryptVolume('volume', id, Buffer.from('wrong'))).rejects.toMatchObject({
      code: 'WRONG_KEY',
    });
    expect((await native.volumeInfo('volume')).layers).toHaveLength(1);
  });

  it('leaves snapshots that other volume keys have, which are read with those or not at all', async (context) => {
    needsTools(context, 'nbdcopy');
    const plane = startPlane();
    const { native } = plane;
    await encrypted(plane, 'volume', mebibyte);
    await native.addExport(exportOf('volume', { decrypted: true }));
    const write = async (data: Buffer) =>
      run('nbdcopy', ['--flush', fileOf(plane, 'data', data), await uriOf(plane, 'volume')]);
    const [first, second] = [randomBytes(mebibyte), randomBytes(mebibyte)];
    const [old, young] = ['6d1f5a3e-2f52-4a8e-9c8e-0b8f3f0d6a01', '6d1f5a3e-2f52-4a8e-9c8e-0b8f3f0d6a02'];
    await write(first);
    await native.createSnapshot('volume', old, 'old');
    await native.reencryptVolume('volume', id, passphrase);
    await plane.event('reencryption-finished', 'volume');
    await write(second);
    await native.createSnapshot('volume', young, 'young');
    await native.removeExport('volume', false);

    // Back to a header that knows of no other key, while there is one.
    await native.revertSnapshot('volume', old);
    await native.unlockVolume('volume', passphrase);
    await native.addExport(exportOf('volume', { decrypted: true }));
    expect((await contentOf(plane, 'volume')).equals(first)).toBe(true);
    expect((await contentOf(plane, 'volume@young')).equals(second)).toBe(true);
    await native.removeExport('volume', false);

    // And a passphrase that opens the one, and not the other.
    await native.revertSnapshot('volume', young);
    const next = Buffer.from('next year');
    await native.addKey('volume', passphrase, next);
    await native.removeKey('volume', passphrase, next);
    const { directory } = await native.volumeInfo('volume');
    await native.closeVolume('volume');
    const limits = { iops: null, iopsBurst: null, bandwidth: null, bandwidthBurst: null, burstSeconds: null };
    await native.openVolume({ name: 'volume', directory, cacheMode: 'none', limits });
    await native.unlockVolume('volume', next);
    await native.addExport(exportOf('volume', { decrypted: true }));
    expect((await contentOf(plane, 'volume')).equals(second)).toBe(true);
    expect((await contentOf(plane, 'volume@young')).equals(second)).toBe(true);
    await expect(contentOf(plane, 'volume@old')).rejects.toThrow();
  });

  it('keeps off snapshots and reverts until it is done, and goes on when the volume is open again', async (context) => {
    needsTools(context, 'nbdcopy');
    const plane = startPlane();
    const { native } = plane;
    await encrypted(plane, 'volume', 128 * mebibyte);
    await native.addExport(exportOf('volume', { decrypted: true }));
    const written = randomBytes(128 * mebibyte);
    await run('nbdcopy', ['--flush', fileOf(plane, 'plain', written), await uriOf(plane, 'volume')]);
    const snapshot = '6d1f5a3e-2f52-4a8e-9c8e-0b8f3f0d6a01';
    await native.createSnapshot('volume', snapshot, 'before');
    await native.removeExport('volume', false);
    await native.reencryptVolume('volume', id, passphrase);
    const running = { code: 'REENCRYPTION_RUNNING' };
    const other = '1d1f5a3e-2f52-4a8e-9c8e-0b8f3f0d6a03';
    await expect(native.createSnapshot('volume', other, 'no')).rejects.toMatchObject(running);
    await expect(native.revertSnapshot('volume', snapshot)).rejects.toMatchObject(running);
    await expect(native.reencryptVolume('volume', other, passphrase)).rejects.toMatchObject(running);
    const { directory } = await native.volumeInfo('volume');
    await native.closeVolume('volume');
    const limits = { iops: null, iopsBurst: null, bandwidth: null, bandwidthBurst: null, burstSeconds: null };
    await native.openVolume({ name: 'volume', directory, cacheMode: 'none', limits });
    await expect(native.createSnapshot('volume', other, 'no')).rejects.toMatchObject(running);
    await native.unlockVolume('volume', passphrase);
    await plane.event('reencryption-finished', 'volume');
    await native.addExport(exportOf('volume', { decrypted: true }));
    expect((await contentOf(plane, 'volume')).equals(written)).toBe(true);
    await native.removeExport('volume', false);
    await native.revertSnapshot('volume', snapshot);
    expect(await native.volumeInfo('volume')).toMatchObject({ unlocked: false });
    await native.unlockVolume('volume', passphrase);
    await native.addExport(exportOf('volume', { decrypted: true }));
    expect((await contentOf(plane, 'volume')).equals(written)).toBe(true);
  });
});

describe('key slots', () => {
  const next = Buffer.from('the passphrase of next year');

  it('are added and removed while clients use the volume, and stock cryptsetup sees the same', async (context) => {
    needsTools(context, 'cryptsetup', 'nbdcopy');
    const plane = startPlane();
    const { native } = plane;
    await encrypted(plane, 'volume', mebibyte);
    await native.addExport(exportOf('volume', { decrypted: true }));
    await native.addExport(exportOf('volume', { name: 'raw', readOnly: true }));
    const written = randomBytes(mebibyte);
    await run('nbdcopy', ['--flush', fileOf(plane, 'plain', written), await uriOf(plane, 'volume')]);
    const opens = async (key: Buffer) => {
      const image = fileOf(plane, 'image', await contentOf(plane, 'raw'));
      const test = ['open', '--test-passphrase', '--key-file', fileOf(plane, 'key', key), image];
      return run('cryptsetup', test).then(
        () => true,
        () => false,
      );
    };
    await native.addKey('volume', passphrase, next);
    await native.addKey('volume', passphrase, next);
    expect((await native.headerInfo('volume')).keySlots).toEqual([
      { number: 0, derivation: 'argon2id', memoryKib: 65_536, iterations: 4 },
      { number: 1, derivation: 'argon2id', memoryKib: 65_536, iterations: 4 },
    ]);
    expect([await opens(passphrase), await opens(next)]).toEqual([true, true]);
    await native.removeKey('volume', passphrase, next);
    expect([await opens(passphrase), await opens(next)]).toEqual([false, true]);
    await native.removeKey('volume', passphrase, next);
    await expect(native.removeKey('volume', next, next)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    await expect(native.addKey('volume', passphrase, next)).resolves.toBeUndefined();
    await expect(native.addKey('volume', passphrase, randomBytes(8))).rejects.toMatchObject({ code: 'WRONG_KEY' });
    expect((await contentOf(plane, 'volume')).equals(written)).toBe(true);
  });

  it('stay as they are when the volume is reverted, whatever interrupts that', async (context) => {
    needsTools(context, 'nbdcopy');
    const plane = startPlane();
    const { native } = plane;
    await encrypted(plane, 'volume', mebibyte);
    await native.addExport(exportOf('volume', { decrypted: true }));
    const first = randomBytes(mebibyte);
    await run('nbdcopy', ['--flush', fileOf(plane, 'first', first), await uriOf(plane, 'volume')]);
    const before = '6d1f5a3e-2f52-4a8e-9c8e-0b8f3f0d6a01';
    await native.createSnapshot('volume', before, 'before');
    const old = join(plane.directory, 'old-header');
    await native.backupHeader('volume', old);
    await native.addKey('volume', passphrase, next);
    await native.removeKey('volume', passphrase, next);
    const kept = join(plane.directory, 'new-header');
    await native.backupHeader('volume', kept);
    await native.removeExport('volume', false);
    await native.revertSnapshot('volume', before);
    await native.unlockVolume('volume', next);
    await native.addExport(exportOf('volume', { decrypted: true }));
    expect((await contentOf(plane, 'volume')).equals(first)).toBe(true);
    await native.removeExport('volume', false);

    // The moment after the revert, before the header is there again: as a crash leaves it.
    const { directory } = await native.volumeInfo('volume');
    const reopen = async () => {
      await native.closeVolume('volume');
      const limits = { iops: null, iopsBurst: null, bandwidth: null, bandwidthBurst: null, burstSeconds: null };
      await native.openVolume({ name: 'volume', directory, cacheMode: 'none', limits });
    };
    await reopen();
    await native.restoreHeader('volume', old, false);
    copyFileSync(kept, join(directory, 'kept-header'));
    await expect(native.unlockVolume('volume', passphrase)).rejects.toMatchObject({ code: 'WRONG_KEY' });
    await native.unlockVolume('volume', next);
    expect(existsSync(join(directory, 'kept-header'))).toBe(false);
  });

  it('that stock cryptsetup has added open the volume', async (context) => {
    needsTools(context, 'cryptsetup', 'nbdcopy');
    const plane = startPlane();
    await openNew(plane, 'volume', { sizeBytes: headerBytes + mebibyte });
    await plane.native.formatEncryption('volume', { sectorSize: 4096, allowDiscards: true }, passphrase);
    await plane.native.addExport(exportOf('volume', { name: 'raw' }));
    const image = fileOf(plane, 'image', await contentOf(plane, 'raw'));
    const [key, added] = [fileOf(plane, 'key', passphrase), fileOf(plane, 'added', next)];
    await run('cryptsetup', ['luksAddKey', '--batch-mode', ...fast, '--key-file', key, image, added]);
    await run('nbdcopy', ['--flush', image, await uriOf(plane, 'raw')]);
    const { keySlots } = await plane.native.headerInfo('volume');
    expect(keySlots[1]).toEqual({ number: 1, derivation: 'pbkdf2', memoryKib: 0, iterations: 1000 });
    await plane.native.unlockVolume('volume', next);
  });
});

describe('a backup of the header', () => {
  it('is what stock cryptsetup restores, and the other way round', async (context) => {
    needsTools(context, 'cryptsetup', 'nbdcopy');
    const plane = startPlane();
    const { native } = plane;
    await openNew(plane, 'volume', { sizeBytes: headerBytes + mebibyte });
    await native.formatEncryption('volume', { sectorSize: 4096, allowDiscards: true }, passphrase);
    await native.addExport(exportOf('volume', { name: 'raw' }));
    const [ours, theirs] = [join(plane.directory, 'ours'), join(plane.directory, 'theirs')];
    await native.backupHeader('volume', ours);
    await expect(native.backupHeader('volume', ours)).rejects.toMatchObject({ code: 'EEXIST' });
    const whole = await contentOf(plane, 'raw');
    const image = fileOf(plane, 'image', whole);
    await run('cryptsetup', ['luksHeaderBackup', '--header-backup-file', theirs, image]);
    expect(readFileSync(ours).equals(readFileSync(theirs))).toBe(true);
    const damaged = Buffer.from(whole).fill(0xee, 0, 64 * 1024);
    const broken = fileOf(plane, 'broken', damaged);
    await run('cryptsetup', ['luksHeaderRestore', '--batch-mode', '--header-backup-file', ours, broken]);
    const key = fileOf(plane, 'key', passphrase);
    await run('cryptsetup', ['open', '--test-passphrase', '--key-file', key, broken]);

    await run('nbdcopy', ['--flush', fileOf(plane, 'damaged', damaged), await uriOf(plane, 'raw')]);
    await expect(native.restoreHeader('volume', theirs, false)).rejects.toMatchObject({ code: 'VOLUME_IN_USE' });
    await native.removeExport('raw', false);
    await expect(native.unlockVolume('volume', passphrase)).rejects.toMatchObject({ code: 'HEADER_DAMAGED' });
    await expect(native.unlockVolume('volume', passphrase)).rejects.toThrow(/cairn header restore/);
    await native.restoreHeader('volume', theirs, false);
    await native.unlockVolume('volume', passphrase);
    await expect(native.restoreHeader('volume', theirs, true)).rejects.toMatchObject({ code: 'VOLUME_IN_USE' });
  });

  it('of another volume or volume key is restored by force alone, and what is none is not', async () => {
    const plane = startPlane();
    const { native } = plane;
    for (const name of ['volume', 'other']) {
      await openNew(plane, name, { sizeBytes: headerBytes + mebibyte });
      await native.formatEncryption(name, { sectorSize: 4096, allowDiscards: true }, passphrase);
      await native.backupHeader(name, join(plane.directory, `${name}.luks2`));
    }
    const invalid = { code: 'INVALID_ARGUMENT' };
    const other = join(plane.directory, 'other.luks2');
    await expect(native.restoreHeader('volume', other, false)).rejects.toMatchObject(invalid);
    const { uuid } = await native.headerInfo('volume');
    for (const wrong of [join(plane.directory, 'none'), plane.directory, fileOf(plane, 'short', randomBytes(100))])
      await expect(native.restoreHeader('volume', wrong, true)).rejects.toMatchObject(invalid);
    const rubbish = fileOf(plane, 'rubbish', randomBytes(headerBytes));
    await expect(native.restoreHeader('volume', rubbish, true)).rejects.toMatchObject({ code: 'HEADER_DAMAGED' });
    expect((await native.headerInfo('volume')).uuid).toBe(uuid);
    await native.restoreHeader('volume', other, true);
    expect((await native.headerInfo('volume')).uuid).not.toBe(uuid);

    const before = join(plane.directory, 'before.luks2');
    await native.backupHeader('volume', before);
    await native.unlockVolume('volume', passphrase);
    await native.reencryptVolume('volume', '0d1f5a3e-2f52-4a8e-9c8e-0b8f3f0d6a02', passphrase);
    await plane.event('reencryption-finished', 'volume');
    const { directory } = await native.volumeInfo('volume');
    await native.closeVolume('volume');
    const limits = { iops: null, iopsBurst: null, bandwidth: null, bandwidthBurst: null, burstSeconds: null };
    await native.openVolume({ name: 'volume', directory, cacheMode: 'none', limits });
    await expect(native.restoreHeader('volume', before, false)).rejects.toThrow(/another volume key/);
  });
});
