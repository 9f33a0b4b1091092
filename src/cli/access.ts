/** `cairn access ...` */
import { InvalidArgumentError, type Command } from 'commander';
import type { Input, Output } from '../api/operations.js';
import { parseKeyRef } from '../keys/key-source.js';
import { exampleOf } from './help-text.js';
import { absent, detailsOf, print } from './output.js';
import { clientOf } from './service-client.js';

type Access = Output<'getAccess'>;
type Change = Input<'changeAccess'>['body'];
type User = NonNullable<Change['chap']>;
type Secret = User['secret'];

interface SetFlags {
  initiator?: string[];
  anyInitiator?: boolean;
  chapUser?: string;
  chapSecret?: Secret;
  mutualUser?: string;
  mutualSecret?: Secret;
  shared?: boolean;
}

export function configure(access: Command): void {
  exampleOf(access, 'cairn access set data --initiator iqn.1993-08.org.debian:01:web');
  addShow(access);
  addSet(access);
  addClear(access);
}

function addShow(access: Command): void {
  const show = access.command('show <volume>').description('Show who may use a volume');
  exampleOf(show, 'cairn access show data');
  show.action(async (name: string) => print(show, await clientOf(show).getAccess({ params: { name } }), page));
}

function addSet(access: Command): void {
  const set = access
    .command('set <volume>')
    .description('Say which initiators may log in to a volume and what they prove; holds for logins that begin later')
    .option('--initiator <name...>', 'iSCSI names of those that may log in, instead of the present ones')
    .option('--any-initiator', 'let every initiator log in')
    .option('--chap-user <user>', 'user whom an initiator proves to be')
    .option('--chap-secret <key>', 'key that holds the secret: PROVIDER:KEY, or KEY of the provider file', checkedKey)
    .option('--mutual-user <user>', 'user that is proven to an initiator that asks')
    .option('--mutual-secret <key>', 'key that holds that secret', checkedKey)
    .option('--shared', 'let NBD and iSCSI serve the volume at the same time')
    .option('--no-shared', 'let only one of them');
  exampleOf(
    set,
    'cairn access set data --initiator iqn.1993-08.org.debian:01:web --chap-user web --chap-secret web-chap',
    'cairn access set data --mutual-user data --mutual-secret data-chap',
    'cairn access set data --shared',
  );
  set.action(async (name: string, flags: SetFlags) => {
    const change = changeOf(set, flags);
    if (Object.keys(change).length === 0) set.error('error: name what is to change, e.g. --initiator or --chap-user');
    const changed = await clientOf(set).changeAccess({ params: { name }, body: change });
    print(set, changed, page);
  });
}

function addClear(access: Command): void {
  const clear = access.command('clear <volume>').description('Let every initiator log in to a volume, without a proof');
  exampleOf(clear, 'cairn access clear data');
  clear.action(async (name: string) => {
    const body = { initiators: [], chap: null, mutual: null };
    print(clear, await clientOf(clear).changeAccess({ params: { name }, body }), page);
  });
}

function changeOf(set: Command, { initiator, anyInitiator, shared, ...flags }: SetFlags): Change {
  if (initiator && anyInitiator) set.error('error: --initiator and --any-initiator contradict each other');
  const chap = userOf(set, '--chap', flags.chapUser, flags.chapSecret);
  const mutual = userOf(set, '--mutual', flags.mutualUser, flags.mutualSecret);
  return {
    ...(initiator && { initiators: initiator }),
    ...(anyInitiator && { initiators: [] }),
    ...(chap && { chap }),
    ...(mutual && { mutual }),
    ...(shared !== undefined && { shared }),
  };
}

function userOf(set: Command, flag: string, user: string | undefined, secret: Secret | undefined): User | undefined {
  if (user === undefined && secret === undefined) return undefined;
  if (user === undefined || secret === undefined) set.error(`error: ${flag}-user and ${flag}-secret go together`);
  return { user, secret };
}

function page({ initiators, chap, mutual, shared }: Access): string {
  return detailsOf([
    ['Initiators', initiators.length === 0 ? 'all' : initiators.join(', ')],
    ['CHAP', chap ? `${chap.user} (${keyText(chap.secret)})` : absent],
    ['Mutual CHAP', mutual ? `${mutual.user} (${keyText(mutual.secret)})` : absent],
    ['Shared', shared ? 'yes' : 'no'],
  ]);
}

function keyText({ provider = 'file', key }: Secret): string {
  return `${provider}:${key}`;
}

function checkedKey(text: string): Secret {
  const { provider, key } = parseKeyRef(text);
  if (key === '') throw new InvalidArgumentError('It must be PROVIDER:KEY or KEY.');
  return { provider: provider as NonNullable<Secret['provider']>, key };
}
