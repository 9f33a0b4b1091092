/** Whether the files that `nbd.tls` names can be used: said at the start, by name, not to the first client that connects. */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { CairnError } from '../errors.js';
import type { Config } from './schema.js';

type TlsConfig = Config['nbd']['tls'];

/** Permissions that let others than the owner read or change a file. */
const othersMask = 0o077;
/** Keys of 16 to 64 bytes. */
const pskLine = /^[^:\s]+:([0-9a-fA-F]{2}){16,64}$/;

/** Throws `invalid-config` naming the file and what is wrong with it. */
export function checkTls(tls: TlsConfig, now = new Date()): void {
  if (tls.mode === 'off') return;
  if (tls.certificates === '' && tls.pskFile === '')
    throw wrong(
      'nbd.tls.certificates',
      `nbd.tls.mode is ${tls.mode}: set nbd.tls.certificates, nbd.tls.pskFile, or both.`,
    );
  if (tls.verifyPeer && tls.certificates === '')
    throw wrong('nbd.tls.verifyPeer', 'nbd.tls.verifyPeer needs the certificate of a CA: set nbd.tls.certificates.');
  if (tls.certificates !== '') checkCertificates(tls.certificates, now);
  if (tls.verifyPeer) checkCertificate(join(tls.certificates, 'ca-cert.pem'), now);
  if (tls.pskFile !== '') checkPskFile(tls.pskFile);
}

function checkCertificates(directory: string, now: Date): void {
  const keyFile = join(directory, 'server-key.pem');
  const certificate = checkCertificate(join(directory, 'server-cert.pem'), now);
  const text = readSecret(keyFile, 'nbd.tls.certificates');
  const key = parsed(keyFile, 'a private key without a password, in PEM', () => createPrivateKey(text));
  if (!certificate.checkPrivateKey(key))
    throw wrong(
      'nbd.tls.certificates',
      `${keyFile} is not the key of server-cert.pem beside it. Put the right one there.`,
    );
}

function checkCertificate(file: string, now: Date): X509Certificate {
  const text = read(file, 'nbd.tls.certificates');
  const certificate = parsed(file, 'a certificate in PEM', () => new X509Certificate(text));
  if (new Date(certificate.validTo) < now)
    throw wrong('nbd.tls.certificates', `${file} expired on ${certificate.validTo}. Renew it.`);
  if (new Date(certificate.validFrom) > now)
    throw wrong(
      'nbd.tls.certificates',
      `${file} is not valid before ${certificate.validFrom}. Check the clock of this host.`,
    );
  return certificate;
}

function checkPskFile(file: string): void {
  const advice = `Make one with psktool -u USER -p ${file}.`;
  const lines = readSecret(file, 'nbd.tls.pskFile').split('\n');
  if (lines.every((line) => line.trim() === '')) throw wrong('nbd.tls.pskFile', `${file} holds no key. ${advice}`);
  const number = lines.findIndex((line) => line.trim() !== '' && !pskLine.test(line.trim())) + 1;
  if (number === 0) return;
  const what = `${file}, line ${number} is not USER:KEY with a key of 16 to 64 bytes in hexadecimal.`;
  throw wrong('nbd.tls.pskFile', `${what} ${advice}`);
}

function readSecret(file: string, field: string): string {
  const text = read(file, field);
  const permissions = statSync(file).mode & 0o777;
  if ((permissions & othersMask) === 0) return text;
  throw wrong(field, `${file} can be read by others (mode ${permissions.toString(8)}). Run: chmod 600 ${file}`);
}

function read(file: string, field: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    if (code === 'ENOENT') throw wrong(field, `${file} is missing. Put it there, or correct ${field}.`, cause);
    if (code === 'EACCES')
      throw wrong(field, `${file} may not be read. Give it to the user that runs the service, with mode 600.`, cause);
    throw wrong(field, `${file} cannot be read: ${message}.`, cause);
  }
}

function parsed<Value>(file: string, what: string, parse: () => Value): Value {
  try {
    return parse();
  } catch (cause) {
    throw wrong('nbd.tls.certificates', `${file} is not ${what}. Put one there.`, cause);
  }
}

function wrong(field: string, detail: string, cause?: unknown): CairnError {
  return new CairnError('invalid-config', detail, { field, cause });
}
