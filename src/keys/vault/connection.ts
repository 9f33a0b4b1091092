/** Requests to Vault with what makes them arrive: TLS, one redirection of a standby, and patience with what passes. */
import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { unavailable } from '../key-provider.js';
import { redirectTarget, requestUrl } from './address.js';
import { Exchanges, type VaultAnswer } from './exchange.js';
import { noAnswer, type NoAnswer } from './no-answer.js';
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
export interface VaultRequest {
  operation: VaultOperation;
  /** Undefined for what needs none. */
  token: string | undefined;
  deadline: AbortSignal;
}

type Outcome = VaultAnswer | NoAnswer;

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
  async send(request: VaultRequest): Promise<VaultAnswer> {
    for (let attempt = 1; ; attempt++) {
      const outcome = await this.attempt(request);
      if (!isPassing(outcome) || attempt === attemptsMax) return answerIn(outcome);
      const waitMs = this.waitMs(attempt, 'status' in outcome ? outcome.retryAfter : undefined);
      await delay(waitMs, undefined, { signal: request.deadline }).catch(() => {});
      if (request.deadline.aborted) return answerIn(outcome);
    }
  }

  private async attempt(request: VaultRequest): Promise<Outcome> {
    const { path } = request.operation;
    const url = requestUrl(this.address, path);
    const outcome = await this.sendTo(url, request);
    if (!('status' in outcome) || outcome.status !== redirectStatus) return outcome;
    const target = redirectTarget(url, outcome.location, path);
    if (target) return this.sendTo(target, request);
    const what = `Vault at ${url.origin} redirects to an address that Cairn does not send its token to.`;
    const advice =
      "Let keys.vault.address name the active node, or api_addr in Vault's configuration an https address.";
    return { isPassing: false, error: unavailable(`${what} ${advice}`) };
  }

  private async sendTo(url: URL, { operation, token, deadline }: VaultRequest): Promise<Outcome> {
    const { method, body } = operation;
    try {
      return await this.exchanges.send(url, {
        method,
        headers: { ...this.headers(token), ...(body && { 'Content-Type': 'application/json' }) },
        body: body && JSON.stringify(body),
        ca: await this.authorities(),
        signal: AbortSignal.any([deadline, AbortSignal.timeout(this.times.attemptMs)]),
      });
    } catch (error) {
      return noAnswer(error, url.origin);
    }
  }

  /** The first is for proxies of Vault, which may demand it ("The X-Vault-Request Header"). */
  private headers(token: string | undefined): Record<string, string> {
    const { namespace } = this.settings;
    return {
      'X-Vault-Request': 'true',
      ...(namespace !== '' && { 'X-Vault-Namespace': namespace }),
      ...(token !== undefined && { 'X-Vault-Token': token }),
    };
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

  /** As long as Vault asks for, within bounds; not all volumes at the same moment. */
  private waitMs(attempt: number, retryAfterSeconds = 0): number {
    const { retryMinMs, retryMaxMs } = this.times;
    const backoffMs = retryMinMs * 2 ** (attempt - 1) * (1 + this.random());
    return Math.min(retryMaxMs, Math.max(backoffMs, retryAfterSeconds * 1000));
  }
}

function isPassing(outcome: Outcome): boolean {
  return 'status' in outcome ? passingStatuses.includes(outcome.status) : outcome.isPassing;
}

function answerIn(outcome: Outcome): VaultAnswer {
  if ('status' in outcome) return outcome;
  throw outcome.error;
}
