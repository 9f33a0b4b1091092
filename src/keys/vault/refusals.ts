/** What Vault's statuses mean ("HTTP Status Codes" of its HTTP API), for the administrator. */
import type { CairnError } from '../../errors.js';
import { unavailable } from '../key-provider.js';
import { fieldOf } from './json.js';
import { oneLine } from './one-line.js';
import type { VaultOperation } from './operation.js';

const advice: Readonly<Partial<Record<number, string>>> = {
  400: 'Check that the mounts in keys.vault name the right secrets engines.',
  403: 'Check the policies of the token.',
  404: 'Check that the mounts in keys.vault name secrets engines.',
  405: 'Check that the mounts in keys.vault name secrets engines of the right kind.',
  412: 'This node of Vault waits for data of another one. Check its replication if that goes on.',
  429: 'It has more requests than its rate limit quota allows, or is a standby. Raise the quota, or let keys.vault.address name the active node.',
  472: 'It is a secondary for disaster recovery. Let keys.vault.address name the primary cluster.',
  473: 'It is a performance standby. Let keys.vault.address name the active node.',
  500: 'It has failed, or has no active node. Look at its log.',
  501: 'It is not initialized. Initialize it: vault operator init.',
  502: 'Something that Vault itself depends on has failed. Look at its log.',
  503: 'It is sealed or down for maintenance. Look with vault status; unseal it with vault operator unseal.',
  504: 'What stands before it waited in vain. Check that Vault runs.',
};

/** An answer, read. */
export interface Refused {
  status: number;
  document: unknown;
}

/** `token` is what the request was sent with: no answer that quotes it is repeated. */
export function refusal(
  address: URL,
  operation: VaultOperation,
  { status, document }: Refused,
  token = '',
): CairnError {
  const { method, path, advice: own, isLogin = false } = operation;
  const said = isLogin ? '' : saidIn(document, token);
  const what = `Vault at ${address.origin} answers ${method} /v1/${path} with ${status}`;
  const known = own[status] ?? advice[status] ?? 'Check that keys.vault.address is that of Vault.';
  const todo = typeof known === 'string' ? known : known(document);
  return unavailable(`${what}${said === '' ? '' : ` (${said})`}. ${todo}`);
}

/** The errors that Vault tells; empty if it tells none. */
function saidIn(document: unknown, token: string): string {
  const errors = fieldOf(document, 'errors');
  if (!Array.isArray(errors)) return '';
  const text = errors.filter((error) => typeof error === 'string').join('; ');
  return oneLine(token === '' ? text : text.replaceAll(token, '(token)'));
}
