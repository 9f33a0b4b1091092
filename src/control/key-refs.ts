/** Keys as requests name them. */
import { keyProviderDefault, pathKeyProviders, type KeyName } from '../api/schemas.js';
import { CairnError } from '../errors.js';
import type { KeyRef } from '../keys/key-source.js';

/** Throws `invalid-request` naming `field` for a path where there are none. */
export function keyRefOf({ provider = keyProviderDefault, key }: KeyName, field: string): KeyRef {
  if (key.includes('/') && !pathKeyProviders.includes(provider))
    throw new CairnError('invalid-request', `The key ${key} has a "/" in its name: only those of vault are paths.`, {
      field,
    });
  return { provider, key };
}
