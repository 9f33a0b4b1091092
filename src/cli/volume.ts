/** `cairn volume ...` */
import { InvalidArgumentError, Option, type Command } from 'commander';
import type { Output } from '../api/operations.js';
import { formatSize, parseSize } from '../api/size.js';
import { addYesOption, isConfirmed } from './confirmation.js';
import { exampleOf } from './help-text.js';
import { absent, detailsOf, print, tableOf } from './output.js';
import { clientOf } from './service-client.js';

type Volume = Output<'getVolume'>;
type CacheMode = Volume['cacheMode'];
type BlockSize = Volume['blockSize'];

export function configure(volume: Command): void {
  exampleOf(volume, 'cairn volume create data --size 10GiB', 'cairn volume attach data');
  addCreate(volume);
  addList(volume);
  addShow(volume);
  addDelete(volume);
  addAttach(volume);
  addDetach(volume);
}

function addCreate(volume: Command): void {
  const create = volume
    .command('create <name>')
    .description('Create a thin volume; it takes no space until it is written to')
    .requiredOption('--size <size>', 'what clients see, e.g. 10GiB', checkedSize)
    .addOption(new Option('--block-size <bytes>', 'logical block size').choices(['512', '4096']).default('4096'))
    .addOption(
      new Option('--cache <mode>', 'cache mode, by the names of qemu')
        .choices(['none', 'writeback', 'writethrough'])
        .default('none'),
    );
  exampleOf(create, 'cairn volume create data --size 10GiB --block-size 512');
  create.action(async (name: string, flags: { size: string; blockSize: string; cache: CacheMode }) => {
    const blockSize = Number(flags.blockSize) as BlockSize;
    const created = await clientOf(create).createVolume({
      body: { name, size: flags.size, blockSize, cacheMode: flags.cache },
    });
    print(create, created, ({ size }) => `Volume ${name} created (${formatSize(size)}).`);
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

function addDelete(volume: Command): void {
  const remove = volume.command('delete <name>').description('Delete a detached volume and its snapshots');
  exampleOf(addYesOption(remove), 'cairn volume delete data --yes');
  remove.action(async (name: string, flags: { yes?: boolean }) => {
    if (!(await isConfirmed(`Delete volume ${name} and all its data?`, flags))) return;
    print(remove, await clientOf(remove).deleteVolume({ params: { name } }), () => `Volume ${name} deleted.`);
  });
}

function addAttach(volume: Command): void {
  const attach = volume
    .command('attach <name>')
    .description('Open a volume, serve it to clients and print the URI to use')
    .addOption(
      new Option('--frontend <frontend>', 'what clients speak; none is maintenance: open, but served to nobody')
        .choices(['nbd', 'none'])
        .default('nbd'),
    );
  exampleOf(attach, 'qemu-img info $(cairn volume attach data)');
  attach.action(async (name: string, { frontend }: { frontend: 'nbd' | 'none' }) => {
    const attached = await clientOf(attach).attachVolume({ params: { name }, body: { frontend } });
    print(attach, attached, ({ uris: [uri] }) => uri ?? `Volume ${name} is open for maintenance.`);
  });
}

function addDetach(volume: Command): void {
  const detach = volume
    .command('detach <name>')
    .description('Flush and close a volume')
    .option('--force', 'disconnect its clients');
  exampleOf(addYesOption(detach), 'cairn volume detach data');
  detach.action(async (name: string, flags: { force?: boolean; yes?: boolean }) => {
    const force = flags.force ?? false;
    if (force && !(await isConfirmed(`Disconnect all clients of volume ${name}?`, flags))) return;
    const detached = await clientOf(detach).detachVolume({ params: { name }, body: { force } });
    print(detach, detached, () => `Volume ${name} is detached.`);
  });
}

export function volumeTable(volumes: readonly Volume[]): string {
  const head = ['NAME', 'SIZE', 'ALLOCATED', 'STATE', 'FRONTEND', 'CLIENTS', 'SNAPSHOTS', 'URI'];
  const rows = volumes.map((volume) => [
    volume.name,
    formatSize(volume.size),
    sizeOrAbsent(volume.allocatedBytes),
    volume.state,
    volume.frontend ?? absent,
    String(volume.clients),
    String(volume.snapshotCount),
    volume.uris[0] ?? absent,
  ]);
  return tableOf(head, rows);
}

function volumeDetails(volume: Volume): string {
  return detailsOf([
    ['Name', volume.name],
    ['Id', volume.id],
    ['Size', `${formatSize(volume.size)} (${volume.size} bytes)`],
    ['Allocated', sizeOrAbsent(volume.allocatedBytes)],
    ['Block size', `${volume.blockSize} bytes`],
    ['Cache mode', volume.cacheMode],
    ['State', volume.reason === null ? volume.state : `${volume.state}: ${volume.reason}`],
    ['Frontend', volume.frontend ?? absent],
    ['Clients', String(volume.clients)],
    ['Snapshots', String(volume.snapshotCount)],
    ['Created', volume.created],
    ['URIs', volume.uris.join('\n') || absent],
  ]);
}

function sizeOrAbsent(bytes: number | null): string {
  return bytes === null ? absent : formatSize(bytes);
}

function checkedSize(text: string): string {
  try {
    parseSize(text);
    return text;
  } catch {
    throw new InvalidArgumentError('It must be a number of bytes, or a number with a unit such as 10GiB.');
  }
}
