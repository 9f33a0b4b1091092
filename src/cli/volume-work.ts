/** `cairn volume resize|flatten|reencrypt|scrub|delete`: what takes time, and can be waited for. */
import type { Command } from 'commander';
import { formatSize } from '../api/size.js';
import { CairnError, hasCode } from '../errors.js';
import { addYesOption, isConfirmed } from './confirmation.js';
import { follow } from './following.js';
import { exampleOf } from './help-text.js';
import { print } from './output.js';
import { clientOf } from './service-client.js';
import { checkedSize } from './size-argument.js';
import { scrubText, type Volume } from './volume-output.js';

export function addResize(volume: Command): void {
  const resize = volume
    .command('resize <name>')
    .description('Grow a volume, attached or not; connected clients go on')
    .requiredOption('--size <size>', 'more than it has, e.g. 20GiB', checkedSize);
  exampleOf(resize, 'cairn volume resize data --size 20GiB');
  resize.action(async (name: string, { size }: { size: string }) => {
    const resized = await clientOf(resize).resizeVolume({ params: { name }, body: { size } });
    print(resize, resized, (now) => `Volume ${name} has ${formatSize(now.size)} now.`);
  });
}

export function addFlatten(volume: Command): void {
  const flatten = volume
    .command('flatten <name>')
    .description('Copy what a clone shares with its parent, so that it has all its data for itself')
    .option('--wait', 'until it is done');
  exampleOf(flatten, 'cairn volume flatten copy --wait');
  flatten.action(async (name: string, { wait = false }: { wait?: boolean }) => {
    const client = clientOf(flatten);
    const started = await client.flattenVolume({ params: { name } });
    const look = () => client.getVolume({ params: { name } });
    print(flatten, wait ? await flattened(name, look) : started, ({ source }) =>
      source?.linked ? `Volume ${name} is being flattened.` : `Volume ${name} is flattened.`,
    );
  });
}

async function flattened(name: string, look: () => Promise<Volume>): Promise<Volume> {
  const over = await follow({
    look,
    isOver: ({ flatten, state }) => flatten === null || flatten.problem !== null || state === 'faulted',
    progressOf: ({ flatten }) => flatten?.progress ?? 0,
    title: `Flattening ${name}`,
  });
  if (!over.source?.linked) return over;
  const waits = over.flatten?.problem ? `It waits: ${over.flatten.problem}.` : null;
  throw new CairnError(
    'volume-faulted',
    `Volume ${name} is not flattened yet. ${waits ?? over.reason ?? 'It was taken back.'}`,
  );
}

export function addReencrypt(volume: Command): void {
  const reencrypt = volume
    .command('reencrypt <name>')
    .description('Encrypt all data of a volume with a new volume key, while it is used')
    .option('--wait', 'until it is done');
  exampleOf(reencrypt, 'cairn volume reencrypt secrets --wait');
  reencrypt.action(async (name: string, { wait = false }: { wait?: boolean }) => {
    const client = clientOf(reencrypt);
    const started = await client.reencryptVolume({ params: { name } });
    const look = () => client.getVolume({ params: { name } });
    print(reencrypt, wait ? await reencrypted(name, look) : started, ({ encryption }) =>
      encryption?.reencryption
        ? `Volume ${name} is being encrypted with a new volume key.`
        : `Volume ${name} is encrypted with its new volume key.`,
    );
  });
}

async function reencrypted(name: string, look: () => Promise<Volume>): Promise<Volume> {
  const workOf = ({ encryption }: Volume) => encryption?.reencryption ?? null;
  const over = await follow({
    look,
    isOver: (now) => workOf(now) === null || workOf(now)?.problem !== null || now.state === 'faulted',
    progressOf: (now) => workOf(now)?.progress ?? 0,
    title: `Encrypting ${name}`,
  });
  const left = workOf(over);
  if (left === null) return over;
  const waits = left.problem === null ? (over.reason ?? '') : `It waits: ${left.problem}.`;
  throw new CairnError('volume-faulted', `Volume ${name} is not all encrypted with its new volume key yet. ${waits}`);
}

export function addScrub(volume: Command): void {
  const scrub = volume
    .command('scrub <name>')
    .description("Compare a volume's snapshots with their checksums, attached or not")
    .option('--wait', 'until it is done, with exit code 1 when damage was found');
  exampleOf(scrub, 'cairn volume scrub data --wait');
  scrub.action(async (name: string, { wait = false }: { wait?: boolean }) => {
    const client = clientOf(scrub);
    const begunScrub = async () => {
      try {
        return await client.scrubVolume({ params: { name } });
      } catch (error) {
        if (!wait || !hasCode(error, 'scrub-running')) throw error;
        return client.getVolume({ params: { name } }); // one that runs will do
      }
    };
    const started = await begunScrub();
    if (!wait) return print(scrub, started, () => `Volume ${name} is being scrubbed.`);
    const over = await follow({
      look: () => client.getVolume({ params: { name } }),
      isOver: (now) => now.scrub?.state !== 'running',
      progressOf: (now) => now.scrub?.progress ?? 0,
      title: `Scrubbing ${name}`,
    });
    const isWell = over.scrub?.state === 'finished' && over.scrub.blocksDamaged === 0;
    if (!isWell) process.exitCode = 1;
    return print(scrub, over, (now) =>
      now.scrub ? scrubText(now.scrub) : 'The scrub was interrupted: start it again.',
    );
  });
}

export function addDelete(volume: Command): void {
  const remove = volume
    .command('delete <name>')
    .description('Delete a detached volume and its snapshots')
    .option('--no-wait', 'do not wait until the files of a large volume are gone');
  exampleOf(addYesOption(remove), 'cairn volume delete data --yes');
  remove.action(async (name: string, flags: { yes?: boolean; wait: boolean }) => {
    if (!(await isConfirmed(`Delete volume ${name} and all its data?`, flags))) return;
    const client = clientOf(remove);
    const deleted = await client.deleteVolume({ params: { name } });
    const isGone = !flags.wait || (await gone(deleted, () => client.getVolume({ params: { name } })));
    print(remove, deleted, () => `Volume ${name} ${isGone && flags.wait ? 'deleted' : 'is being deleted'}.`);
  });
}

/** Waits until the volume is gone; another may have its name by then. */
async function gone({ id, name }: Volume, look: () => Promise<Volume>): Promise<boolean> {
  const lookOnce = async (): Promise<Volume | null> => {
    try {
      const now = await look();
      return now.id === id ? now : null;
    } catch (error) {
      if (hasCode(error, 'volume-not-found')) return null;
      throw error;
    }
  };
  const over = await follow({
    look: lookOnce,
    isOver: (now) => (now?.deletion ?? null) === null || now?.state === 'faulted',
    progressOf: (now) => now?.deletion?.progress ?? 0,
    title: `Deleting ${name}`,
  });
  if (over === null) return true;
  throw new CairnError(
    'volume-faulted',
    `Volume ${name} cannot be deleted yet. ${over.reason ?? ''} It is tried again.`,
  );
}
