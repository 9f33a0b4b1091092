/** What `keys.vault` says, and whether it can be meant so. */
import { CairnError } from '../../errors.js';
import { isLoopback } from './address.js';

export interface VaultSettings {
  /** A URL; empty: there is no Vault. */
  address: string;
  /** Of Vault Enterprise; empty: the root namespace. */
  namespace: string;
  /** Certificates of authorities, PEM; empty: those that Node knows. */
  caFile: string;
  /** Either this, or `approle`. */
  tokenFile: string;
  approle: { mount: string; roleId: string; secretIdFile: string };
  kv: { mount: string; version: number; path: string; field: string };
  transit: { mount: string; key: string; directory: string };
  /** Where systemd has put the service's credentials, of which a token or secret ID may be one. */
  credentialsDirectory?: string | undefined;
}

/**
 * Segments of a path that Vault takes, none of which a URL gives another meaning: it refuses those with "..", and parameters that end with a
 * period (HTTP API, "Parameter restrictions").
 */
const vaultPath = /^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*(\/[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*)*$/;
const printable = /^[\x21-\x7e]+$/;

export function isVaultPath(path: string): boolean {
  return vaultPath.test(path);
}

/** Throws `invalid-config` naming the setting. Files are not looked at: they may come later, and change. */
export function checkVaultSettings(settings: VaultSettings): void {
  if (settings.address === '') return;
  checkAddress(settings.address);
  checkAuthentication(settings);
  const { namespace, approle, kv, transit } = settings;
  if (namespace !== '') checkPath('namespace', namespace.replace(/\/$/, ''));
  checkPath('approle.mount', approle.mount);
  checkPath('kv.mount', kv.mount);
  if (kv.path !== '') checkPath('kv.path', kv.path);
  checkPath('transit.mount', transit.mount);
  checkPath('transit.key', transit.key);
}

function checkAddress(text: string): void {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isPlain = url && url.username + url.password + url.search + url.hash === '';
  if (!isPlain || !/^https?:$/.test(url.protocol))
    throw wrong('address', 'must be a URL such as https://vault.example:8200, without user, query and fragment');
  if (url.protocol === 'http:' && !isLoopback(url))
    throw wrong('address', 'must begin with https: http is for an agent or proxy of Vault on this host (127.0.0.1)');
}

function checkAuthentication({ tokenFile, approle }: VaultSettings): void {
  const { roleId, secretIdFile } = approle;
  if ((roleId === '') !== (secretIdFile === '')) throw wrong('approle', 'needs both roleId and secretIdFile');
  if ((tokenFile === '') === (roleId === ''))
    throw wrong('tokenFile', 'or keys.vault.approle must be set, and not both: how Cairn logs in to Vault');
  if (roleId !== '' && !printable.test(roleId)) throw wrong('approle.roleId', 'must be printable, without spaces');
}

function checkPath(setting: string, path: string): void {
  if (isVaultPath(path)) return;
  throw wrong(
    setting,
    'must be letters, digits, "_", "-" and "." with "/" between its parts, none of which begins or ends with a "."',
  );
}

function wrong(setting: string, rule: string): CairnError {
  const field = `keys.vault.${setting}`;
  return new CairnError('invalid-config', `${field} ${rule}.`, { field });
}
