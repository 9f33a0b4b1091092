/** Certificates and keys as an administrator makes them, in qemu's and nbdkit's files; by openssl. */
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** A self-made CA and what it has signed. */
export class CertificateAuthority {
  constructor(readonly directory: string) {
    mkdirSync(directory, { recursive: true });
    const name = ['-subj', '/CN=Test CA', '-days', '30'];
    openssl([
      'req',
      '-x509',
      ...newKey(join(directory, 'ca-key.pem')),
      ...name,
      '-out',
      join(directory, 'ca-cert.pem'),
    ]);
  }

  /** `server` for 127.0.0.1 and localhost, or `client`. */
  sign(role: 'server' | 'client', { days = 30 } = {}): void {
    const [key, request, certificate] = ['key', 'req', 'cert'].map((kind) =>
      join(this.directory, `${role}-${kind}.pem`),
    );
    const extensions = join(this.directory, `${role}.ext`);
    writeFileSync(extensions, 'subjectAltName=DNS:localhost,IP:127.0.0.1\n');
    openssl(['req', ...newKey(String(key)), '-subj', '/CN=localhost', '-out', String(request)]);
    const authority = ['-CA', join(this.directory, 'ca-cert.pem'), '-CAkey', join(this.directory, 'ca-key.pem')];
    const validity = ['-days', String(days), '-extfile', extensions];
    openssl([
      'x509',
      '-req',
      '-in',
      String(request),
      ...authority,
      '-CAcreateserial',
      ...validity,
      '-out',
      String(certificate),
    ]);
    chmodSync(String(key), 0o600);
  }
}

function newKey(file: string): string[] {
  return ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', file];
}

function openssl(args: readonly string[]): void {
  execFileSync('openssl', args, { stdio: ['ignore', 'pipe', 'pipe'] });
}
