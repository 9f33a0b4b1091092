/** The flags of `cairn volume create` that say how the volume is encrypted. */
import { Option, type Command } from 'commander';
import type { NewVolume } from '../api/schemas.js';

type Encryption = NonNullable<NewVolume['encryption']>;

export interface EncryptionFlags {
  encrypt?: boolean;
  keyProvider?: NonNullable<Encryption['provider']>;
  key?: string;
  discards?: boolean;
}

export function addEncryptionFlags(create: Command): void {
  create
    .option('--encrypt', 'encrypt it: LUKS2, aes-xts-plain64')
    .addOption(keyProviderOption())
    .option('--key <name>', "under which name (default: the volume's)")
    .option('--no-discards', 'keep trims from showing where nothing is stored');
}

export function keyProviderOption(): Option {
  const names = ['file', 'credential', 'command', 'vault', 'vault-transit'];
  return new Option('--key-provider <name>', 'who has the passphrase (default: file)').choices(names);
}

/** Undefined: it is not to be encrypted. */
export function encryptionOf(create: Command, flags: EncryptionFlags): Encryption | undefined {
  const { encrypt = false, keyProvider, key, discards = true } = flags;
  const isUseless = keyProvider !== undefined || key !== undefined || !discards;
  if (!encrypt && isUseless) create.error('error: --key-provider, --key and --no-discards need --encrypt');
  if (!encrypt) return undefined;
  return {
    ...(keyProvider !== undefined && { provider: keyProvider }),
    ...(key !== undefined && { key }),
    ...(!discards && { allowDiscards: false }),
  };
}
