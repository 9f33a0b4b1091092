/** Passphrases from files, systemd and programs: what is taken, and what is refused with what to do about it. */
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { CommandKeys } from '../../src/keys/command-keys.js';
import { FileKeys } from '../../src/keys/file-keys.js';
import { KeyProviders } from '../../src/keys/key-providers.js';
import { scratchDirectory } from '../support/scratch.js';

const canary = 'canary-passphrase-7f3a';

function keyFile(directory: string, name: string, content: string, mode = 0o600): void {
  const file = join(directory, name);
  writeFileSync(file, content);
  chmodSync(file, mode);
}

function program(script: string): string {
  const file = join(scratchDirectory(), 'keys');
  writeFileSync(file, `#!/bin/sh\n${script}\n`);
  chmodSync(file, 0o700);
  return file;
}

async function refusal(given: Promise<unknown>): Promise<{ code: string; detail: string }> {
  const error = await given.then(
    () => expect.fail('it was not refused'),
    (reason: unknown) => reason as { code: string; detail: string },
  );
  expect(error.detail).not.toContain(canary);
  return error;
}

describe('FileKeys', () => {
  const keysIn = (directory: string) => new FileKeys(directory, (file) => `Make ${file}.`);

  it.each([
    [canary, canary],
    [`${canary}\n`, canary],
    [`${canary}\n\n`, `${canary}\n`],
    [`${canary} `, `${canary} `],
  ])('takes %j as %j', async (content, passphrase) => {
    const directory = scratchDirectory();
    keyFile(directory, 'db', content);
    expect(Buffer.from(await keysIn(directory).passphraseOf('db')).toString()).toBe(passphrase);
  });

  it.each<[string, (directory: string) => void, RegExp]>([
    ['a missing file', () => {}, /There is no key file .*db\. Make .*db\./],
    ['a file that others can read', (at) => keyFile(at, 'db', canary, 0o640), /chmod 600/],
    ['an empty file', (at) => keyFile(at, 'db', '\n'), /is empty/],
    ['a directory', (at) => mkdirSync(join(at, 'db'), { mode: 0o700 }), /no regular file/],
    [
      'a link',
      (at) => {
        keyFile(at, 'other', canary);
        symlinkSync('other', join(at, 'db'));
      },
      /cannot be opened \(ELOOP\)/,
    ],
  ])('refuses %s', async (_what, make, detail) => {
    const directory = scratchDirectory();
    make(directory);
    const refused = await refusal(keysIn(directory).passphraseOf('db'));
    expect(refused).toMatchObject({ code: 'key-unavailable', detail: expect.stringMatching(detail) });
  });
});

describe('CommandKeys', () => {
  it('takes what the program prints for the key', async () => {
    const keys = new CommandKeys(program('echo "secret of $1 $#"'));
    expect(Buffer.from(await keys.passphraseOf('a b')).toString()).toBe('secret of a b 1');
  });

  it.each([
    ['no program', '', /Set keys\.command/],
    ['one that is not there', '/nowhere/keys', /cannot be run/],
  ])('refuses %s', async (_what, path, detail) => {
    expect((await refusal(new CommandKeys(path).passphraseOf('db'))).detail).toMatch(detail);
  });

  it.each([
    ['fails', `echo ${canary}; echo "vault is\n sealed" >&2; exit 3`, /ended with status 3\. It said: vault is sealed/],
    ['prints nothing', 'true', /printed no passphrase/],
    ['prints too much', 'head -c 9000000 /dev/zero', /more than 8 MiB|ended by SIGKILL/],
  ])('says so when the program %s', async (_what, script, detail) => {
    const refused = await refusal(new CommandKeys(program(script)).passphraseOf('db'));
    expect(refused).toMatchObject({ code: 'key-unavailable', detail: expect.stringMatching(detail) });
  });

  it('ends a program that hangs', async () => {
    const keys = new CommandKeys(program('sleep 60; true'), 50);
    expect((await refusal(keys.passphraseOf('db'))).detail).toMatch(/ended by SIGKILL/);
  });
});

describe('KeyProviders', () => {
  const providers = (directory: string) =>
    KeyProviders.from({ directory, command: '', credentialsDirectory: undefined });

  it('zeroes the passphrase when it has been used, well or not', async () => {
    const directory = scratchDirectory();
    keyFile(directory, 'db', canary);
    const seen: Uint8Array[] = [];
    const use = (outcome: () => void) =>
      providers(directory).use({ provider: 'file', key: 'db' }, (passphrase) => {
        expect(Buffer.from(passphrase).toString()).toBe(canary);
        seen.push(passphrase);
        outcome();
        return Promise.resolve();
      });
    await use(() => {});
    const broken = new Error('broken');
    await expect(
      use(() => {
        throw broken;
      }),
    ).rejects.toBe(broken);
    expect(seen.flatMap((passphrase) => [...passphrase]).every((byte) => byte === 0)).toBe(true);
  });

  it.each([
    ['credential', /LoadCredential=/],
    ['command', /keys\.command/],
    ['nobody', /no key provider "nobody"/],
  ])('says what %s lacks', async (provider, detail) => {
    const used = providers(scratchDirectory()).use({ provider, key: 'db' }, () => Promise.resolve());
    expect(await refusal(used)).toMatchObject({ code: 'key-unavailable', detail: expect.stringMatching(detail) });
  });

  it("finds systemd's credentials", async () => {
    const credentialsDirectory = scratchDirectory();
    keyFile(credentialsDirectory, 'db', canary, 0o400);
    const keys = KeyProviders.from({ directory: '/nowhere', command: '', credentialsDirectory });
    const length = await keys.use({ provider: 'credential', key: 'db' }, ({ length: of }) => Promise.resolve(of));
    expect(length).toBe(canary.length);
  });
});
