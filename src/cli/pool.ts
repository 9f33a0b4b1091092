/** `cairn pool ...` */
import { Option, type Command } from 'commander';
import type { Input, Output } from '../api/operations.js';
import { exampleOf } from './help-text.js';
import { absent, print, tableOf } from './output.js';
import { clientOf } from './service-client.js';
import { keyProviderOption } from './volume-encryption.js';
import { sizeOrAbsent } from './volume-output.js';

type NewPool = Input<'addPool'>['body'];
type NewPoolEncryption = NonNullable<NewPool['encryption']>;
type Pool = Output<'addPool'>;

interface AddFlags {
  encrypt?: string;
  keyProvider?: NonNullable<NewPoolEncryption['provider']>;
  key?: string;
  fileSystem?: NonNullable<NewPoolEncryption['fileSystem']>;
}

export function configure(pool: Command): void {
  exampleOf(pool, 'cairn pool list', 'cairn pool add --encrypt /dev/sdb');
  addList(pool);
  addAdd(pool);
  addRemove(pool);
}

function addList(pool: Command): void {
  const list = exampleOf(pool.command('list').description('List all pools'), 'cairn pool list -o json');
  list.action(async () => print(list, await clientOf(list).listPools(), ({ pools }) => poolTable(pools)));
}

function addAdd(pool: Command): void {
  const add = pool
    .command('add [name] [directory]')
    .description('Add a directory, or a blank device that the kernel encrypts')
    .option('--encrypt <device>', 'format it with LUKS2, and mount it now and whenever the service starts')
    .addOption(keyProviderOption())
    .option('--key <name>', "under which name (default: the pool's)")
    .addOption(new Option('--file-system <type>', 'what is made on it (default: ext4)').choices(['ext4', 'xfs']));
  exampleOf(
    add,
    'cairn pool add disks /disks/a',
    'cairn pool add --encrypt /dev/sdb',
    'cairn pool add fast --encrypt /dev/nvme1n1 --key disks',
  );
  add.action(async (name: string | undefined, directory: string | undefined, flags: AddFlags) => {
    const body = requestOf(add, name, directory, flags);
    print(add, await clientOf(add).addPool({ body }), (made) => `Pool ${made.name} is added (${made.directory}).`);
  });
}

function addRemove(pool: Command): void {
  const remove = pool
    .command('remove <name>')
    .description('Unmount and forget a pool in which no volumes live; what its device holds stays there');
  exampleOf(remove, 'cairn pool remove fast');
  remove.action(async (name: string) => {
    print(remove, await clientOf(remove).removePool({ params: { name } }), () => `Pool ${name} is removed.`);
  });
}

function requestOf(add: Command, name: string | undefined, directory: string | undefined, flags: AddFlags): NewPool {
  const { encrypt: device, keyProvider, key, fileSystem } = flags;
  const named = name === undefined ? {} : { name };
  if (device === undefined) {
    if (Object.keys(flags).length > 0) add.error('error: --key-provider, --key and --file-system need --encrypt');
    if (name === undefined || directory === undefined)
      add.error("error: give a name and a directory, or '--encrypt <device>'");
    return { ...named, ...(directory !== undefined && { directory }) };
  }
  if (directory !== undefined) add.error('error: an encrypted pool has a device and no directory');
  const provider = keyProvider === undefined ? {} : { provider: keyProvider };
  return { ...named, encryption: { device, ...provider, ...(key && { key }), ...(fileSystem && { fileSystem }) } };
}

function poolTable(pools: readonly Pool[]): string {
  const rows = pools.map(({ name, directory, state, reason, encryption, sizeBytes, availableBytes }) => [
    name ?? absent,
    directory,
    state,
    sizeOrAbsent(sizeBytes),
    sizeOrAbsent(availableBytes),
    encryption === null ? absent : `LUKS2, ${encryption.fileSystem}, key ${encryption.key} of ${encryption.provider}`,
    reason ?? absent,
  ]);
  return tableOf(['NAME', 'DIRECTORY', 'STATE', 'SIZE', 'AVAILABLE', 'ENCRYPTION', 'REASON'], rows);
}
