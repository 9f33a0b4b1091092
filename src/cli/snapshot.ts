/** `cairn snapshot ...` */
import type { Command } from 'commander';
import type { Output } from '../api/operations.js';
import { addYesOption, isConfirmed } from './confirmation.js';
import { percent } from './following.js';
import { exampleOf } from './help-text.js';
import { absent, detailsOf, print, tableOf } from './output.js';
import { clientOf } from './service-client.js';
import { sizeOrAbsent } from './volume-output.js';

export function configure(snapshot: Command): void {
  exampleOf(snapshot, 'cairn snapshot create data before-upgrade');
  addCreate(snapshot);
  addList(snapshot);
  addShow(snapshot);
  addDelete(snapshot);
  addRevert(snapshot);
}

function addCreate(snapshot: Command): void {
  const create = snapshot
    .command('create <volume> [name]')
    .description('Take a snapshot, named for the time unless a name is given, and print its name');
  exampleOf(create, 'cairn snapshot create data before-upgrade');
  create.action(async (volume: string, name: string | undefined) => {
    const body = name === undefined ? {} : { name };
    print(create, await clientOf(create).createSnapshot({ params: { name: volume }, body }), (taken) => taken.name);
  });
}

function addList(snapshot: Command): void {
  const list = snapshot.command('list <volume>').description("List a volume's snapshots, oldest first");
  exampleOf(list, 'cairn snapshot list data');
  list.action(async (volume: string) => {
    print(list, await clientOf(list).listSnapshots({ params: { name: volume } }), snapshotTable);
  });
}

function addShow(snapshot: Command): void {
  const show = snapshot
    .command('show <volume> <name>')
    .description('Show a snapshot, and where clients can read it while its volume is attached');
  exampleOf(show, 'cairn snapshot show data before-upgrade');
  show.action(async (volume: string, name: string) => {
    const shown = await clientOf(show).getSnapshot({ params: { name: volume, snapshot: name } });
    print(show, shown, snapshotDetails);
  });
}

function addDelete(snapshot: Command): void {
  const remove = snapshot
    .command('delete <volume> <name>')
    .description('Delete a snapshot; its space is given back in the background');
  exampleOf(addYesOption(remove), 'cairn snapshot delete data before-upgrade');
  remove.action(async (volume: string, name: string, flags: { yes?: boolean }) => {
    if (!(await isConfirmed(`Delete snapshot ${name} of volume ${volume}?`, flags))) return;
    const deleted = await clientOf(remove).deleteSnapshot({ params: { name: volume, snapshot: name } });
    print(remove, deleted, () => `Snapshot ${name} of volume ${volume} deleted.`);
  });
}

function addRevert(snapshot: Command): void {
  const revert = snapshot
    .command('revert <volume> <name>')
    .description("Make a volume's content that of a snapshot; the volume must not be served to clients");
  exampleOf(addYesOption(revert), 'cairn volume detach data && cairn snapshot revert data before-upgrade');
  revert.action(async (volume: string, name: string, flags: { yes?: boolean }) => {
    const question = `Revert volume ${volume} to snapshot ${name}? What was written since is lost unless a snapshot has it.`;
    if (!(await isConfirmed(question, flags))) return;
    const reverted = await clientOf(revert).revertSnapshot({ params: { name: volume, snapshot: name } });
    print(revert, reverted, () => `Volume ${volume} has the content of snapshot ${name}.`);
  });
}

type Snapshot = Output<'getSnapshot'>;

function snapshotTable({ snapshots }: Output<'listSnapshots'>): string {
  const head = ['NAME', 'STATE', 'CREATED', 'ALLOCATED', 'PARENT', 'SHARED', 'CHECKSUMMED', 'URI'];
  const rows = snapshots.map((snapshot) => [
    snapshot.name,
    stateOf(snapshot),
    snapshot.created,
    sizeOrAbsent(snapshot.allocatedBytes),
    snapshot.parent ?? absent,
    yesOrNo(snapshot.shared),
    yesOrNo(snapshot.checksummed),
    snapshot.uris[0] ?? absent,
  ]);
  return tableOf(head, rows);
}

function snapshotDetails(snapshot: Snapshot): string {
  return detailsOf([
    ['Name', snapshot.name],
    ['Id', snapshot.id],
    ['Volume', snapshot.volume],
    ['State', stateOf(snapshot)],
    ['Created', snapshot.created],
    ['Allocated', sizeOrAbsent(snapshot.allocatedBytes)],
    ['Parent', snapshot.parent ?? absent],
    ['Shared', yesOrNo(snapshot.shared)],
    ['Checksummed', yesOrNo(snapshot.checksummed)],
    ['URIs', snapshot.uris.join('\n') || absent],
  ]);
}

function stateOf({ state, mergeProgress }: Snapshot): string {
  return mergeProgress === null ? state : `${state}, ${percent(mergeProgress)}`;
}

function yesOrNo(is: boolean): string {
  return is ? 'yes' : 'no';
}
