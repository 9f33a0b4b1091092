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
    const { tokenFile } = settings;
    this.authentication = tokenFile === '' ? new AppRole(this.connection, settings, nowMs) : new TokenFile(tokenFile);
  }

  /** The document of Vault's answer. Throws `key-unavailable` for any status but 200. */
  async ask(operation: VaultOperation): Promise<unknown> {
    const { answer, token } = await this.answered(operation, this.connection.deadline());
    const { status } = answer;
    const document = documentIn(answer.body);
    if (status !== 200) throw refusal(this.address, operation, { status, document }, token.text);
    return document;
  }

  private async answered(
    operation: VaultOperation,
    deadline: AbortSignal,
  ): Promise<{ answer: VaultAnswer; token: VaultToken }> {
    const token = await this.authentication.token(deadline);
    const answer = await this.connection.send(operation, token.text, deadline);
    if (answer.status !== 403) return { answer, token };
    this.authentication.forget(token);
    if (token.isFresh) return { answer, token };
    const next = await this.authentication.token(deadline);
    return { answer: await this.connection.send(operation, next.text, deadline), token: next };
  }
}
