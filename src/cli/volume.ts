/** `cairn volume ...` */
import { InvalidArgumentError, Option, type Command } from 'commander';
import { formatSize } from '../api/size.js';
import { addYesOption, isConfirmed } from './confirmation.js';
import { exampleOf } from './help-text.js';
import { print } from './output.js';
import { clientOf } from './service-client.js';
import { addLimit, addLimitFlags, changeOf, type LimitFlags } from './volume-limits.js';
import { addEncryptionFlags, encryptionOf, type EncryptionFlags } from './volume-encryption.js';
import { checkedSize } from './size-argument.js';
import { volumeDetails, volumeTable, type Volume } from './volume-output.js';
import { addDelete, addFlatten, addReencrypt, addResize, addScrub } from './volume-work.js';

type CacheMode = Volume['cacheMode'];
type BlockSize = Volume['blockSize'];
type CloneSource = { volume: string; snapshot: string };

export function configure(volume: Command): void {
  exampleOf(volume, 'cairn volume create data --size 10GiB', 'cairn volume attach data');
  addCreate(volume);
  addList(volume);
  addShow(volume);
  addDelete(volume);
  addAttach(volume);
  addDetach(volume);
  addResize(volume);
  addLimit(volume);
  addFlatten(volume);
  addReencrypt(volume);
  addScrub(volume);
}

interface CreateFlags extends LimitFlags, EncryptionFlags {
  size?: string;
  from?: CloneSource;
  blockSize?: string;
  cache?: CacheMode;
  shared?: boolean;
}

function addCreate(volume: Command): void {
  const create = volume
    .command('create <name>')
    .description('Create a thin volume, empty or as a clone of a snapshot; it takes no space until it is written to')
    .option(
      '--size <size>',
      "what clients see, e.g. 10GiB; of a clone, its parent's unless it is to be larger",
      checkedSize,
    )
    .option('--from <volume@snapshot>', 'the snapshot to clone', checkedSource)
    .addOption(
      new Option('--block-size <bytes>', "logical block size (default: 4096; of a clone, its parent's)").choices([
        '512',
        '4096',
      ]),
    )
    .addOption(
      new Option(
        '--cache <mode>',
        "cache mode, by the names of qemu (default: none; of a clone, its parent's)",
      ).choices(['none', 'writeback', 'writethrough']),
    );
  create.option('--shared', "let NBD and iSCSI serve it at the same time (default: no; of a clone, its parent's)");
  addLimitFlags(create);
  addEncryptionFlags(create);
  exampleOf(
    create,
    'cairn volume create data --size 10GiB --block-size 512',
    'cairn volume create data --size 10GiB --iops 500 --bandwidth 100MiB',
    'cairn volume create copy --from data@before-upgrade',
    'cairn volume create secrets --size 10GiB --encrypt',
  );
  create.action(async (name: string, { size, from, blockSize, cache, shared, ...flags }: CreateFlags) => {
    const limits = changeOf(flags);
    const encryption = encryptionOf(create, flags);
    if (size === undefined && from === undefined)
      create.error("error: required option '--size <size>' not specified (or '--from <volume@snapshot>')");
    const created = await clientOf(create).createVolume({
      body: {
        name,
        ...(size !== undefined && { size }),
        ...(from && { source: from }),
        ...(blockSize !== undefined && { blockSize: Number(blockSize) as BlockSize }),
        ...(cache && { cacheMode: cache }),
        ...(Object.keys(limits).length > 0 && { limits }),
        ...(encryption && { encryption }),
        ...(shared && { shared }),
      },
    });
    const origin = from ? ` from ${from.volume}@${from.snapshot}` : '';
    print(create, created, (made) => `Volume ${name} created${origin} (${formatSize(made.size)}).`);
  });
}

function addList(volume: Command): void {
  const list = exampleOf(volume.command('list').description('List all volumes'), 'cairn volume list -o json');
  list.action(async () => print(list, await clientOf(list).listVolumes(), ({ volumes }) => volumeTable(volumes)));
}

function addShow(volume: Command): void {
  const show = exampleOf(volume.command('show <name>').description('Show a volume'), 'cairn volume show data');
  show.action(async (name: string) => {
    print(show, await clientOf(show).getVolume({ params: { name } }), volumeDetails);
  });
}

function addAttach(volume: Command): void {
  const attach = volume
    .command('attach <name>')
    .description('Open a volume, serve it to clients and print the URI to use')
    .addOption(
      new Option('--frontend <frontend>', 'what clients speak; none is maintenance: open, but served to nobody')
        .choices(['nbd', 'iscsi', 'none'])
        .default('nbd'),
    )
    .option('--raw', 'serve the ciphertext of an encrypted volume, its LUKS2 header first; needs no key')
    .option('--read-only', 'let clients read only');
  exampleOf(
    attach,
    'qemu-img info $(cairn volume attach data)',
    'cairn volume attach data --frontend iscsi',
    'qemu-img convert -O raw $(cairn volume attach secrets --raw --read-only) secrets.luks',
  );
  attach.action(
    async (name: string, flags: { frontend: 'nbd' | 'iscsi' | 'none'; raw?: boolean; readOnly?: boolean }) => {
      const attached = await clientOf(attach).attachVolume({ params: { name }, body: flags });
      const isAsked = (uri: string): boolean => uri.startsWith(flags.frontend);
      print(attach, attached, ({ uris }) => uris.find(isAsked) ?? `Volume ${name} is open for maintenance.`);
    },
  );
}

function addDetach(volume: Command): void {
  const detach = volume
    .command('detach <name>')
    .description('Flush and close a volume')
    .option('--force', 'disconnect its clients')
    .addOption(new Option('--frontend <frontend>', 'end this one only, of a shared volume').choices(['nbd', 'iscsi']));
  exampleOf(addYesOption(detach), 'cairn volume detach data');
  detach.action(async (name: string, flags: { force?: boolean; frontend?: 'nbd' | 'iscsi'; yes?: boolean }) => {
    const { frontend } = flags;
    const force = flags.force ?? false;
    if (force && !(await isConfirmed(`Disconnect all clients of volume ${name}?`, flags))) return;
    const detached = await clientOf(detach).detachVolume({
      params: { name },
      body: { force, ...(frontend && { frontend }) },
    });
    print(detach, detached, ({ frontend: left }) =>
      left === null ? `Volume ${name} is detached.` : `Volume ${name} is served by ${left} alone.`,
    );
  });
}

/** `VOLUME@SNAPSHOT` */
function checkedSource(text: string): CloneSource {
  const [volume, snapshot, ...rest] = text.split('@');
  if (volume && snapshot && rest.length === 0) return { volume, snapshot };
  throw new InvalidArgumentError('It must be VOLUME@SNAPSHOT.');
}
