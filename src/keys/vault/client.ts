/** Operations of Vault that need a token. */
import { AppRole, TokenFile, type VaultAuthentication, type VaultToken } from './authentication.js';
import { VaultConnection, type VaultTimes } from './connection.js';
import type { VaultAnswer } from './exchange.js';
import { documentIn } from './json.js';
import type { VaultOperation } from './operation.js';
import { refusal } from './refusals.js';
import type { VaultSettings } from './settings.js';

/** What tests set. */
export interface VaultClientOptions {
  times?: VaultTimes;
  nowMs?: () => number;
}

export class VaultClient {
  private readonly connection: VaultConnection;
  private readonly authentication: VaultAuthentication;
  private readonly address: URL;

  constructor(settings: VaultSettings, { times, nowMs }: VaultClientOptions = {}) {
    this.address = new URL(settings.address);
    this.connection = new VaultConnection(settings, times);
    this.authentication =
      settings.tokenFile === '' ? new AppRole(this.connection, settings, nowMs) : new TokenFile(settings);
  }

  /** The document of Vault's answer. Throws `key-unavailable` for any status but 200. */
  async ask(operation: VaultOperation): Promise<unknown> {
    const deadline = this.connection.deadline();
    const token = await this.authentication.token(deadline);
    const answer = await this.connection.send({ operation, token: token.text, deadline });
    if (answer.status !== 403) return this.documentOf(operation, answer, token);
    this.authentication.forget(token);
    if (token.isFresh) return this.documentOf(operation, answer, token);
    const next = await this.authentication.token(deadline);
    return this.documentOf(operation, await this.connection.send({ operation, token: next.text, deadline }), next);
  }

  private documentOf(operation: VaultOperation, { status, body }: VaultAnswer, { text }: VaultToken): unknown {
    const document = documentIn(body);
    if (status === 200) return document;
    throw refusal(this.address, operation, { status, document }, text);
  }
}
