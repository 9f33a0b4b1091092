/** Why Vault has given no answer, for the administrator. */
import { hasCode, type CairnError } from '../../errors.js';
import { unavailable } from '../key-provider.js';
import { oneLine } from './one-line.js';

export interface NoAnswer {
  /** There may be one soon. */
  isPassing: boolean;
  error: CairnError;
}

/** Codes of Node and OpenSSL that concern TLS: no retry mends them. */
const tlsCodes = /CERT|SELF_SIGNED|^UNABLE_TO_|^ERR_TLS_|^ERR_SSL_|^ERR_OSSL_|^EPROTO$/;

/** What was thrown instead of an answer of the server at `origin`. Throws it again if it is no error of the network. */
export function noAnswer(error: unknown, origin: string): NoAnswer {
  if (hasCode(error, 'key-unavailable')) return { isPassing: false, error };
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === undefined) throw error;
  const vault = `Vault at ${origin}`;
  if (code === 'ABORT_ERR') {
    const late = `${vault} does not answer in time. Check that it runs and that this host reaches it.`;
    return { isPassing: true, error: unavailable(late) };
  }
  if (tlsCodes.test(code)) {
    const advice = 'Check its certificate, and that keys.vault.caFile names the authority that signed it.';
    return {
      isPassing: false,
      error: unavailable(`${vault} is not trusted (${code}: ${oneLine(message)}). ${advice}`),
    };
  }
  const away = `${vault} cannot be reached (${code}). Check that it runs, and that keys.vault.address is right.`;
  return { isPassing: true, error: unavailable(away) };
}
