/** How Cairn proves to Vault who it is. */
import { dirname } from 'node:path';
import { unavailable } from '../key-provider.js';
import { credentialMask, readPrivateFile, type PrivateFile } from '../private-file.js';
import type { VaultConnection } from './connection.js';
import { documentIn, fieldOf } from './json.js';
import type { VaultOperation } from './operation.js';
import { refusal } from './refusals.js';
import type { VaultSettings } from './settings.js';

export interface VaultToken {
  text: string;
  /** Vault gave it just now: when it is refused, another one would be too. */
  isFresh: boolean;
}

export interface VaultAuthentication {
  /** Throws `key-unavailable`. */
  token(deadline: AbortSignal): Promise<VaultToken>;
  /** Vault refuses it: it has expired or was revoked, or has never been allowed to do what was asked. */
  forget(token: VaultToken): void;
}

/** What an HTTP header takes. */
const printable = /^[\x21-\x7e]+$/;
/** A token is used for this part of its lease: requests that are under way and the clocks of both hosts take their time. */
const leaseUsed = 0.9;

/** A token in a file, which Vault Agent or the administrator renews: read each time. */
export class TokenFile implements VaultAuthentication {
  constructor(private readonly settings: VaultSettings) {}

  async token(): Promise<VaultToken> {
    const advice = 'Let Vault Agent write it, or make one: vault token create -policy=cairn -field=token';
    const { tokenFile: path, credentialsDirectory } = this.settings;
    return { text: await secretLine({ path, what: 'token file', advice }, credentialsDirectory), isFresh: true };
  }

  forget(): void {
    // It is read anew anyway.
  }
}

/** A token of AppRole, kept in memory until its lease ends. */
export class AppRole implements VaultAuthentication {
  private current: { text: string; usedUntilMs: number } | undefined;
  /** All who need a token meanwhile wait for the same one: a secret ID may have a limited number of uses. */
  private login: Promise<string> | undefined;

  constructor(
    private readonly connection: VaultConnection,
    private readonly settings: VaultSettings,
    /** Milliseconds of a clock that only goes forward. */
    private readonly nowMs: () => number = () => performance.now(),
  ) {}

  async token(deadline: AbortSignal): Promise<VaultToken> {
    if (this.current && this.nowMs() < this.current.usedUntilMs) return { text: this.current.text, isFresh: false };
    this.login ??= this.logIn(deadline).finally(() => (this.login = undefined));
    return { text: await this.login, isFresh: true };
  }

  forget({ text }: VaultToken): void {
    if (this.current?.text === text) this.current = undefined;
  }

  private async logIn(deadline: AbortSignal): Promise<string> {
    const operation = await this.operation();
    const askedMs = this.nowMs();
    const { status, body } = await this.connection.send({ operation, token: undefined, deadline });
    const document = documentIn(body);
    if (status !== 200) throw refusal(new URL(this.settings.address), operation, { status, document });
    const auth = fieldOf(document, 'auth');
    const text = fieldOf(auth, 'client_token');
    if (typeof text !== 'string' || !printable.test(text))
      throw unavailable('Vault has answered the login without a token. Check keys.vault.approle.mount.');
    const seconds = Number(fieldOf(auth, 'lease_duration') ?? 0);
    // None: it does not expire.
    const usedUntilMs = seconds > 0 ? askedMs + seconds * 1000 * leaseUsed : Number.POSITIVE_INFINITY;
    this.current = { text, usedUntilMs };
    return text;
  }

  /** "Login with AppRole" of the AppRole auth method's API. */
  private async operation(): Promise<VaultOperation> {
    const { approle, credentialsDirectory } = this.settings;
    const { mount, roleId, secretIdFile: path } = approle;
    const advice = `Make one: vault write -f -field=secret_id auth/${mount}/role/ROLE/secret-id`;
    const secretId = await secretLine({ path, what: 'file with the secret ID', advice }, credentialsDirectory);
    const refused = `Check keys.vault.approle.roleId, and put a new secret ID into ${path}. ${advice}`;
    return {
      method: 'POST',
      path: `auth/${mount}/login`,
      body: { role_id: roleId, secret_id: secretId },
      advice: {
        400: refused,
        403: refused,
        404: `Check that keys.vault.approle.mount, ${mount}, is that of an AppRole auth method: vault auth list.`,
      },
      isLogin: true,
    };
  }
}

async function secretLine(file: PrivateFile, credentialsDirectory: string | undefined): Promise<string> {
  const isCredential = credentialsDirectory !== undefined && dirname(file.path) === credentialsDirectory;
  const bytes = await readPrivateFile({ ...file, ...(isCredential && { refusedMode: credentialMask }) });
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1').trim();
  bytes.fill(0);
  if (printable.test(text)) return text;
  throw unavailable(`The ${file.what} ${file.path} must hold one line of printable characters. ${file.advice}`);
}
