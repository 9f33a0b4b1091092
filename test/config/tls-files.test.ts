/** Files that `nbd.tls` names, and what is said of those that cannot be used. */
import { spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { checkTls } from '../../src/config/tls-files.js';
import { CairnError } from '../../src/errors.js';
import { CertificateAuthority } from '../support/certificates.js';

const hasOpenssl = spawnSync('openssl', ['version']).status === 0;
const day = 86_400_000;
const key = '0123456789abcdef'.repeat(2);

let made: string;
let directory: string;
beforeAll(() => {
  made = mkdtempSync(join(tmpdir(), 'cairn-tls-made-'));
  if (hasOpenssl) new CertificateAuthority(made).sign('server', { days: 10 });
});
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'cairn-tls-'));
  cpSync(made, directory, { recursive: true });
});
afterEach(() => rmSync(directory, { recursive: true }));
afterAll(() => rmSync(made, { recursive: true }));

const off = { mode: 'off', certificates: '', verifyPeer: false, pskFile: '' } as const;
const withCertificates = () => ({ ...off, mode: 'on', certificates: directory }) as const;

const verifying = () => ({ ...withCertificates(), verifyPeer: true });

function refusal(settings: Parameters<typeof checkTls>[0], now?: Date): CairnError {
  try {
    checkTls(settings, now);
  } catch (error) {
    if (error instanceof CairnError) return error;
    throw error;
  }
  return expect.fail('it is not refused');
}

describe('settings', () => {
  it('are not looked at when TLS is off', () => {
    expect(() => checkTls({ ...off, certificates: '/nowhere', pskFile: '/nowhere', verifyPeer: true })).not.toThrow();
  });

  it.each(['on', 'require'] as const)('need certificates or keys when the mode is %s', (mode) => {
    expect(refusal({ ...off, mode })).toMatchObject({ code: 'invalid-config', field: 'nbd.tls.certificates' });
  });

  it('need certificates to verify those of clients', () => {
    expect(refusal({ ...off, mode: 'on', pskFile: '/p', verifyPeer: true }).field).toBe('nbd.tls.verifyPeer');
  });
});

describe.skipIf(!hasOpenssl)('certificates', () => {
  it('that are in order are taken', () => {
    expect(() => checkTls(withCertificates())).not.toThrow();
  });

  it('of a CA are needed only to verify those of clients', () => {
    rmSync(join(directory, 'ca-cert.pem'));
    expect(() => checkTls(withCertificates())).not.toThrow();
    expect(refusal(verifying()).detail).toMatch(/ca-cert\.pem is missing/);
  });

  it.each(['server-cert.pem', 'server-key.pem'])('are refused without %s', (file) => {
    rmSync(join(directory, file));
    expect(refusal(withCertificates()).detail).toMatch(new RegExp(`${file} is missing`));
  });

  it.each(['ca-cert.pem', 'server-cert.pem', 'server-key.pem'])('are refused when %s is something else', (file) => {
    writeFileSync(join(directory, file), 'hello\n');
    expect(refusal(verifying()).detail).toMatch(new RegExp(`${file} is not a .* in PEM|key without a password`));
  });

  it.each([0o644, 0o640, 0o604])('are refused when others may read the key (%o)', (mode) => {
    chmodSync(join(directory, 'server-key.pem'), mode);
    expect(refusal(withCertificates()).detail).toMatch(/server-key\.pem can be read by others .*chmod 600/);
  });

  it('are refused when they have expired, and the moment before they are not', () => {
    expect(() => checkTls(withCertificates(), new Date(Date.now() + 9 * day))).not.toThrow();
    expect(refusal(withCertificates(), new Date(Date.now() + 11 * day)).detail).toMatch(/server-cert\.pem expired on/);
  });

  it('are refused when they are not valid yet', () => {
    expect(refusal(withCertificates(), new Date(Date.now() - day)).detail).toMatch(/is not valid before/);
  });

  it('are refused with the key of another', () => {
    copyFileSync(join(directory, 'ca-key.pem'), join(directory, 'server-key.pem'));
    chmodSync(join(directory, 'server-key.pem'), 0o600);
    expect(refusal(withCertificates()).detail).toMatch(/server-key\.pem is not the key of server-cert\.pem/);
  });
});

describe('pre-shared keys', () => {
  const file = () => join(directory, 'keys.psk');
  const settings = () => ({ ...off, mode: 'require', pskFile: file() }) as const;

  function write(text: string, mode = 0o600): void {
    writeFileSync(file(), text);
    chmodSync(file(), mode);
  }

  it.each([`alice:${'0a'.repeat(16)}\n`, `\nalice:${'AB'.repeat(64)}\r\nbob:${key}`])('are taken: %j', (text) => {
    write(text);
    expect(() => checkTls(settings())).not.toThrow();
  });

  it.each([
    ['', /holds no key\. Make one with psktool/],
    [`alice:${key}\nbob\n`, /line 2 is not USER:KEY/],
    [`# alice\n`, /line 1 is not/],
    [`alice:${key}0\n`, /line 1 is not/],
    [`alice:${'0a'.repeat(15)}\n`, /line 1 is not/],
    [`alice:${'0a'.repeat(65)}\n`, /line 1 is not/],
    [`alice:${'xy'.repeat(16)}\n`, /line 1 is not/],
    [`:${key}\n`, /line 1 is not/],
  ])('are refused: %j', (text, message) => {
    write(text);
    expect(refusal(settings()).detail).toMatch(message);
  });

  it('are refused when others may read them, or when they are missing', () => {
    write(`alice:${key}\n`, 0o644);
    expect(refusal(settings())).toMatchObject({
      field: 'nbd.tls.pskFile',
      detail: expect.stringMatching(/chmod 600/) as string,
    });
    rmSync(file());
    expect(refusal(settings()).detail).toMatch(/keys\.psk is missing/);
  });
});
