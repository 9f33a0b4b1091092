/** Requests to Vault with what makes them arrive: TLS, one redirection of a standby, and patience with what passes. */
import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { hasCode } from '../../errors.js';
import { unavailable } from '../key-provider.js';
import { redirectTarget, requestUrl } from './address.js';
import { Exchanges, type VaultAnswer } from './exchange.js';
import type { VaultOperation } from './operation.js';
import type { VaultSettings } from './settings.js';

export interface VaultTimes {
  /** Of one passphrase, logging in and all retries included. */
  totalMs: number;
  /** Of one request. */
  attemptMs: number;
  /** Before the first retry; twice that before the next. */
  retryMinMs: number;
  retryMaxMs: number;
}

export const vaultTimesDefault: VaultTimes = { totalMs: 20_000, attemptMs: 5000, retryMinMs: 200, retryMaxMs: 5000 };

const attemptsMax = 4;
/** 412, 429, 473: of a node that is behind, busy, or a standby; the others of one that starts, fails over or is sealed. */
const passingStatuses = [412, 429, 473, 500, 502, 503, 504];
const redirectStatus = 307;
/** Codes of Node and OpenSSL that concern TLS: no retry mends them. */
const tlsCodes = /CERT|SELF_SIGNED|^UNABLE_TO_|^ERR_TLS_|^ERR_SSL_|^EPROTO$/;

export class VaultConnection {
  private readonly address: URL;
  private readonly exchanges = new Exchanges();

  constructor(
    private readonly settings: VaultSettings,
    private readonly times: VaultTimes = vaultTimesDefault,
    private readonly random: () => number = Math.random,
  ) {
    this.address = new URL(settings.address);
  }

  /** When all that belongs to one passphrase must have ended. */
  deadline(): AbortSignal {
    return AbortSignal.timeout(this.times.totalMs);
  }

  /** Vault's last answer, which may still be a refusal. Throws `key-unavailable` when there is none. */
  async send(operation: VaultOperation, token: string | undefined, deadline: AbortSignal): Promise<VaultAnswer> {
    for (let attempt = 1; ; attempt++) {
      const outcome = await this.attempt(operation, token, deadline).catch((error: unknown) => this.unanswered(error));
      const isPassing = 'status' in outcome ? passingStatuses.includes(outcome.status) : outcome.isPassing;
      if (!isPassing || attempt === attemptsMax) return answerIn(outcome);
      const waitMs = this.waitMs(attempt, 'status' in outcome ? outcome.retryAfter : undefined);
      await delay(waitMs, undefined, { signal: deadline }).catch(() => {});
      if (deadline.aborted) return answerIn(outcome);
    }
  }

  private async attempt(
    operation: VaultOperation,
    token: string | undefined,
    deadline: AbortSignal,
  ): Promise<VaultAnswer> {
    const url = requestUrl(this.address, operation.path);
    const answer = await this.sendTo(url, operation, token, deadline);
    if (answer.status !== redirectStatus) return answer;
    const target = redirectTarget(url, answer.location, operation.path);
    if (target) return this.sendTo(target, operation, token, deadline);
    throw unavailable(
      `${this.name} redirects to an address that Cairn does not send its token to. Let keys.vault.address name the active node, and api_addr in Vault's configuration an https address.`,
    );
  }

  private async sendTo(
    url: URL,
    { method, body }: VaultOperation,
    token: string | undefined,
    deadline: AbortSignal,
  ): Promise<VaultAnswer> {
    const { namespace } = this.settings;
    return this.exchanges.send(url, {
      method,
      headers: {
        'X-Vault-Request': 'true',
        ...(namespace !== '' && { 'X-Vault-Namespace': namespace }),
        ...(token !== undefined && { 'X-Vault-Token': token }),
        ...(body && { 'Content-Type': 'application/json' }),
      },
      body: body && JSON.stringify(body),
      ca: await this.authorities(),
      signal: AbortSignal.any([deadline, AbortSignal.timeout(this.times.attemptMs)]),
    });
  }

  /** Read each time: it may be replaced while the service runs. */
  private async authorities(): Promise<Buffer | undefined> {
    const { caFile } = this.settings;
    if (caFile === '') return undefined;
    try {
      return await readFile(caFile);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      throw unavailable(`The file keys.vault.caFile, ${caFile}, cannot be read (${code ?? 'unknown error'}).`, error);
    }
  }

  private unanswered(error: unknown): Unanswered {
    if (hasCode(error, 'key-unavailable')) return { isPassing: false, error };
    const { code = '', message } = error as NodeJS.ErrnoException;
    if (code === 'ABORT_ERR')
      return {
        isPassing: true,
        error: unavailable(`${this.name} does not answer in time. Check that it runs and that this host reaches it.`),
      };
    if (tlsCodes.test(code))
      return {
        isPassing: false,
        error: unavailable(
          `${this.name} is not trusted (${code}: ${message}). Let keys.vault.caFile name the authority of its certificate.`,
        ),
      };
    return {
      isPassing: true,
      error: unavailable(
        `${this.name} cannot be reached (${code || message}). Check that it runs, and keys.vault.address.`,
      ),
    };
  }

  /** As long as Vault asks for, within bounds; not all volumes at the same moment. */
  private waitMs(attempt: number, retryAfterSeconds = 0): number {
    const { retryMinMs, retryMaxMs } = this.times;
    const backoffMs = retryMinMs * 2 ** (attempt - 1) * (1 + this.random());
    return Math.min(retryMaxMs, Math.max(backoffMs, retryAfterSeconds * 1000));
  }

  private get name(): string {
    return `Vault at ${this.address.origin}`;
  }
}

/** Why there is no answer, and whether there may be one later. */
interface Unanswered {
  isPassing: boolean;
  error: Error;
}

function answerIn(outcome: VaultAnswer | Unanswered): VaultAnswer {
  if ('status' in outcome) return outcome;
  throw outcome.error;
}
