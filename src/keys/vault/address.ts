/** Where Cairn may send what it tells Vault alone. */

const loopback = /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/;

/** What is sent there does not leave the host. */
export function isLoopback({ hostname }: URL): boolean {
  return loopback.test(hostname);
}

/** The URL of a path below `/v1`. The address may have a path of its own, of a proxy before Vault. */
export function requestUrl(address: URL, path: string): URL {
  return new URL(`${address.href.replace(/\/$/, '')}/v1/${path}`);
}

/**
 * Where a standby sends its clients (HTTP 307: "Client Redirection" in Vault's page on high availability), or undefined if it must not be
 * followed there: to another path than the one that was asked for, out of TLS, or out of this host without it.
 */
export function redirectTarget(from: URL, location: string | undefined, path: string): URL | undefined {
  if (!location || !URL.canParse(location, from.href)) return undefined;
  const to = new URL(location, from);
  const isAsPrivate =
    to.protocol === 'https:' || (from.protocol === 'http:' && to.protocol === 'http:' && isLoopback(to));
  const isPlain = to.username + to.password + to.search === '' && to.pathname.endsWith(`/v1/${path}`);
  return isAsPrivate && isPlain ? to : undefined;
}
