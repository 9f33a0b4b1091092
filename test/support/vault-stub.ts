/**
 * The part of Vault's HTTP API that key providers use, as its documents and source have it: KV versions 1 and 2, transit, AppRole, tokens with
 * policies and leases, namespaces, seal and standby. Everything is in memory; what was asked is remembered.
 */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { join } from 'node:path';

export interface VaultRequest {
  method: string;
  path: string;
  token: string | undefined;
  namespace: string | undefined;
}

export interface StubAnswer {
  status: number;
  headers?: Record<string, string>;
  /** An object, or text as it is. */
  body?: unknown;
}

export interface VaultStubOptions {
  /** With TLS: a directory with `server-cert.pem` and `server-key.pem`. */
  certificates?: string;
  /** Of the engine `secret/`. */
  kvVersion?: 1 | 2;
  /** An address of this host. */
  host?: string;
}

type Capability = 'read' | 'update';

interface Token {
  /** Paths, `*` at the end for all that begin so -> what may be done there. */
  policy: Record<string, Capability>;
  expiresMs: number;
}

interface Version {
  data: Record<string, unknown>;
  deletionTime: string;
  isDestroyed: boolean;
}

const nonceBytes = 12;
const tagBytes = 16;

export class VaultStub {
  readonly requests: VaultRequest[] = [];
  /** Sees each request as it comes. */
  onRequest: (request: IncomingMessage) => void = () => {};
  readonly roleId = 'role-of-cairn';
  /** Milliseconds; tests move it. */
  nowMs = 0;
  isSealed = false;
  /** Answers to the next requests, before anything else is looked at; a function may never answer. */
  readonly nextAnswers: (StubAnswer | ((response: ServerResponse) => void))[] = [];
  /** A standby's active node. */
  activeAddress: string | undefined;
  namespace: string | undefined;
  /** Of tokens that AppRole gives; 0: they do not expire. */
  leaseSeconds = 60;
  /** What these may do. */
  rolePolicy: Token['policy'] = { 'secret/data/*': 'read', 'secret/*': 'read', 'transit/decrypt/*': 'update' };

  private readonly tokens = new Map<string, Token>();
  private readonly secretIds = new Set<string>();
  private readonly secrets = new Map<string, Version[]>();
  private readonly transitKeys = new Map<string, Buffer[]>();
  private readonly connections = new Set<Socket>();

  private constructor(
    private readonly server: Server,
    private readonly origin: string,
    readonly kvVersion: 1 | 2,
  ) {
    server.on('request', (request, response) => void this.serve(request, response));
    server.on('connection', (socket: Socket) => {
      this.connections.add(socket);
      socket.once('close', () => this.connections.delete(socket));
    });
  }

  static async start({ certificates, kvVersion = 2, host = '127.0.0.1' }: VaultStubOptions = {}): Promise<VaultStub> {
    const read = (file: string) => readFileSync(join(certificates ?? '', file));
    const server = certificates
      ? createTlsServer({ cert: read('server-cert.pem'), key: read('server-key.pem') })
      : createServer();
    const stub = new VaultStub(server, `${certificates ? 'https' : 'http'}://${host}`, kvVersion);
    server.listen(0, host);
    await once(server, 'listening');
    return stub;
  }

  get address(): string {
    return `${this.origin}:${(this.server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    const closed = once(this.server, 'close');
    this.server.close();
    for (const socket of this.connections) socket.destroy();
    await closed;
  }

  allow(token: string, policy: Token['policy'] = this.rolePolicy, leaseSeconds = Number.POSITIVE_INFINITY): void {
    this.tokens.set(token, { policy, expiresMs: this.nowMs + leaseSeconds * 1000 });
  }

  revoke(token: string): void {
    this.tokens.delete(token);
  }

  revokeAll(): void {
    this.tokens.clear();
  }

  newSecretId(secretId: string = randomBytes(8).toString('hex')): string {
    this.secretIds.clear();
    this.secretIds.add(secretId);
    return secretId;
  }

  /** A new version of a secret of `secret/`. */
  put(path: string, data: Record<string, unknown>): void {
    const versions = this.secrets.get(path) ?? [];
    this.secrets.set(path, [...versions, { data, deletionTime: '', isDestroyed: false }]);
  }

  deleteNewest(path: string): void {
    Object.assign(this.newest(path), { deletionTime: '2026-01-02T03:04:05.678Z' });
  }

  destroyNewest(path: string): void {
    Object.assign(this.newest(path), { data: {}, isDestroyed: true });
  }

  /** Makes or rotates a key of transit. */
  rotate(key: string): void {
    this.transitKeys.set(key, [...(this.transitKeys.get(key) ?? []), randomBytes(32)]);
  }

  /** `transit/encrypt`, without the request. */
  encrypted(key: string, plaintext: Buffer): string {
    const versions = this.transitKeys.get(key) ?? [];
    const nonce = randomBytes(nonceBytes);
    const cipher = createCipheriv('aes-256-gcm', versions.at(-1) ?? '', nonce);
    const sealed = Buffer.concat([nonce, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
    return `vault:v${versions.length}:${sealed.toString('base64')}`;
  }

  private newest(path: string): Version {
    const version = this.secrets.get(path)?.at(-1);
    if (!version) throw new Error(`There is no secret ${path}.`);
    return version;
  }

  private async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = '', url = '', headers } = request;
    const [token, namespace] = [headers['x-vault-token'], headers['x-vault-namespace']].map((header) =>
      header?.toString(),
    );
    this.onRequest(request);
    this.requests.push({ method, path: url, token, namespace });
    const chunks: Buffer[] = [];
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
    const next = this.nextAnswers.shift();
    if (typeof next === 'function') return next(response);
    const text = Buffer.concat(chunks).toString();
    const body = (text === '' ? {} : JSON.parse(text)) as Record<string, unknown>;
    const {
      status,
      headers: more,
      body: document,
    } = next ?? this.answer({ method, path: url, token, namespace }, body);
    response.writeHead(status, { 'content-type': 'application/json', ...more });
    response.end(typeof document === 'string' ? document : JSON.stringify(document ?? {}));
  }

  /** Seal before standby before namespace before token before route, as Vault's handlers are stacked. */
  private answer({ method, path: url, token, namespace }: VaultRequest, body: Record<string, unknown>): StubAnswer {
    const path = url.replace(/^\/v1\//, '');
    if (this.isSealed) return refused(503, 'Vault is sealed');
    if (this.activeAddress !== undefined) return { status: 307, headers: { location: `${this.activeAddress}${url}` } };
    if (namespace?.replace(/\/$/, '') !== this.namespace)
      return refused(404, `no handler for route "${path}". route entry not found.`);
    if (path.endsWith('.')) return refused(404, '1 error occurred:\n\t* unsupported path\n\n');
    if (path === 'auth/approle/login')
      return method === 'POST' ? this.logIn(body) : refused(405, 'unsupported operation');
    const [mount] = path.split('/');
    if (!this.isAllowed(token, path, method === 'GET' ? 'read' : 'update'))
      return refused(403, '1 error occurred:\n\t* permission denied\n\n');
    if (mount === 'secret')
      return method === 'GET' ? this.read(path) : refused(405, '1 error occurred:\n\t* unsupported operation\n\n');
    if (mount === 'transit')
      return method === 'POST'
        ? this.decrypt(path, body)
        : refused(405, '1 error occurred:\n\t* unsupported operation\n\n');
    return refused(404, `no handler for route "${path}". route entry not found.`);
  }

  private isAllowed(token: string | undefined, path: string, capability: Capability): boolean {
    const known = this.tokens.get(token ?? '');
    if (!known || known.expiresMs <= this.nowMs) return false;
    return Object.entries(known.policy).some(
      ([rule, allowed]) =>
        allowed === capability && (rule.endsWith('*') ? path.startsWith(rule.slice(0, -1)) : path === rule),
    );
  }

  /** A failed login quotes the secret ID, as Vault does when it has been used up meanwhile. */
  private logIn({ role_id: role, secret_id: secretId }: Record<string, unknown>): StubAnswer {
    if (role !== this.roleId) return refused(400, 'invalid role or secret ID');
    if (!this.secretIds.has(String(secretId))) return refused(400, `invalid secret_id "${String(secretId)}"`);
    const token = `hvs.${randomBytes(12).toString('hex')}`;
    this.allow(token, this.rolePolicy, this.leaseSeconds === 0 ? undefined : this.leaseSeconds);
    const auth = { client_token: token, lease_duration: this.leaseSeconds, renewable: true, token_policies: ['cairn'] };
    return ok({ auth, data: null });
  }

  private read(path: string): StubAnswer {
    const match = (this.kvVersion === 2 ? /^secret\/data\/(.+)$/ : /^secret\/(.+)$/).exec(path);
    const versions = this.secrets.get(match?.[1] ?? '') ?? [];
    const newest = versions.at(-1);
    if (!newest) return { status: 404, body: { errors: [] } };
    if (this.kvVersion === 1) return ok({ data: newest.data });
    const { data, deletionTime, isDestroyed } = newest;
    const metadata = {
      created_time: '2026-01-01T00:00:00Z',
      custom_metadata: null,
      deletion_time: deletionTime,
      destroyed: isDestroyed,
      version: versions.length,
    };
    const isGone = isDestroyed || deletionTime !== '';
    return { status: isGone ? 404 : 200, body: { data: { data: isGone ? null : data, metadata }, warnings: null } };
  }

  private decrypt(path: string, { ciphertext }: Record<string, unknown>): StubAnswer {
    const key = /^transit\/decrypt\/([\w.-]+)$/.exec(path)?.[1] ?? '';
    const [, version = '', text = ''] = /^vault:v(\d+):(.*)$/.exec(String(ciphertext)) ?? [];
    const versions = this.transitKeys.get(key);
    if (!versions) return refused(400, 'encryption key not found');
    const secret = versions[Number(version) - 1];
    if (!secret) return refused(400, 'invalid ciphertext: version is too new');
    const sealed = Buffer.from(text, 'base64');
    try {
      const decipher = createDecipheriv('aes-256-gcm', secret, sealed.subarray(0, nonceBytes), {
        authTagLength: tagBytes,
      });
      decipher.setAuthTag(sealed.subarray(-tagBytes));
      const plaintext = Buffer.concat([decipher.update(sealed.subarray(nonceBytes, -tagBytes)), decipher.final()]);
      return ok({ data: { plaintext: plaintext.toString('base64') } });
    } catch {
      return refused(400, 'cipher: message authentication failed');
    }
  }
}

function ok(body: unknown): StubAnswer {
  return { status: 200, body };
}

function refused(status: number, ...errors: string[]): StubAnswer {
  return { status, body: { errors } };
}
