/** `cairn key ...` */
import { Option, type Command } from 'commander';
import type { Input, Output } from '../api/operations.js';
import { addYesOption, isConfirmed } from './confirmation.js';
import { exampleOf } from './help-text.js';
import { absent, detailsOf, print, tableOf } from './output.js';
import { clientOf } from './service-client.js';
import { keyProviderOption } from './volume-encryption.js';

type KeyList = Output<'listKeys'>;
type KeyName = Input<'addKey'>['body'];

interface KeyFlags {
  key: string;
  keyProvider?: KeyName['provider'];
}

export function configure(key: Command): void {
  exampleOf(key, 'cairn key rotate secrets --key secrets-2027');
  addList(key);
  addAdd(key);
  addRotate(key);
  addRemove(key);
}

function addList(key: Command): void {
  const list = key.command('list <volume>').description("List an encrypted volume's key slots; needs no key");
  exampleOf(list, 'cairn key list secrets');
  list.action(async (name: string) => print(list, await clientOf(list).listKeys({ params: { name } }), keyPage));
}

function addAdd(key: Command): void {
  const add = withKey(
    key.command('add <volume>').description('Let one more passphrase open a volume, e.g. one that is kept in a safe'),
  );
  exampleOf(add, 'cairn key add secrets --key recovery');
  add.action(async (name: string, flags: KeyFlags) => {
    const keys = await clientOf(add).addKey({ params: { name }, body: nameOf(flags) });
    print(add, keys, () => `Volume ${name} opens with the key ${flags.key} too.`);
  });
}

function addRotate(key: Command): void {
  const rotate = withKey(
    key.command('rotate <volume>').description("Replace the passphrase of a volume's own key, while it is used"),
  );
  exampleOf(rotate, 'cairn key rotate secrets --key secrets-2027');
  rotate.action(async (name: string, flags: KeyFlags) => {
    const keys = await clientOf(rotate).rotateKey({ params: { name }, body: nameOf(flags) });
    print(rotate, keys, () => `Volume ${name} has the key ${flags.key} now.`);
  });
}

function addRemove(key: Command): void {
  const remove = withKey(key.command('remove <volume>').description('Let a passphrase open a volume no more'));
  exampleOf(addYesOption(remove), 'cairn key remove secrets --key recovery');
  remove.action(async (name: string, flags: KeyFlags & { yes?: boolean }) => {
    if (!(await isConfirmed(`Remove the key ${flags.key} of volume ${name}?`, flags))) return;
    const keys = await clientOf(remove).removeKey({ params: { name }, body: nameOf(flags) });
    print(remove, keys, () => `Volume ${name} does not open with the key ${flags.key} any more.`);
  });
}

function withKey(command: Command): Command {
  return command
    .addOption(new Option('--key <name>', 'the name of the passphrase').makeOptionMandatory())
    .addOption(keyProviderOption());
}

function nameOf({ key, keyProvider }: KeyFlags): KeyName {
  return { key, ...(keyProvider !== undefined && { provider: keyProvider }) };
}

function keyPage({ uuid, cipher, keyBits, sectorSize, provider, key, keySlots }: KeyList): string {
  const rows = keySlots.map(({ number, derivation, memoryKib, iterations }) => [
    String(number),
    derivation,
    memoryKib === 0 ? absent : `${memoryKib / 1024} MiB`,
    String(iterations),
  ]);
  const details = detailsOf([
    ['Own key', `${key} of ${provider}`],
    ['Cipher', `${cipher}, ${keyBits} bits, sectors of ${sectorSize} bytes`],
    ['LUKS2 UUID', uuid],
  ]);
  return `${details}\n\n${tableOf(['SLOT', 'DERIVATION', 'MEMORY', 'ITERATIONS'], rows)}`;
}
