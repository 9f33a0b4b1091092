/** `cairn volume limit`, and the flags for limits that `cairn volume create` takes too. */
import { InvalidArgumentError, type Command } from 'commander';
import type { Input } from '../api/operations.js';
import { limitsText } from '../api/limits.js';
import { exampleOf } from './help-text.js';
import { print } from './output.js';
import { clientOf } from './service-client.js';
import { checkedSize } from './size-argument.js';

type LimitsChange = Input<'limitVolume'>['body'];

export interface LimitFlags {
  iops?: number | 'none';
  iopsBurst?: number | 'none';
  bandwidth?: string;
  bandwidthBurst?: string;
  burstSeconds?: number;
}

const noLimits = { iops: null, iopsBurst: null, bandwidth: null, bandwidthBurst: null };

export function addLimitFlags(command: Command): void {
  command
    .option('--iops <count>', 'operations a second, or none', checkedCount)
    .option('--iops-burst <count>', 'operations a second in a burst, more than --iops, or none', checkedCount)
    .option('--bandwidth <size>', 'bytes a second, e.g. 100MiB, or none', checkedRate)
    .option('--bandwidth-burst <size>', 'bytes a second in a burst, more than --bandwidth, or none', checkedRate)
    .option('--burst-seconds <count>', 'how long a volume that has rested may burst (default: 60)', checkedNumber);
}

export function addLimit(volume: Command): void {
  const limit = volume
    .command('limit <name>')
    .description('Limit what a volume may use, attached or not, at once; what is not named stays as it is')
    .option('--none', 'take all limits away');
  addLimitFlags(limit);
  exampleOf(
    limit,
    'cairn volume limit data --iops 500 --iops-burst 2000 --bandwidth 100MiB',
    'cairn volume limit data --bandwidth none',
    'cairn volume limit data --none',
  );
  limit.action(async (name: string, { none, ...flags }: LimitFlags & { none?: boolean }) => {
    const change = changeOf(flags);
    const isNamed = Object.keys(change).length > 0;
    if (none && isNamed) limit.error('error: --none takes all limits away, and goes with no other');
    if (!none && !isNamed) limit.error('error: name a limit, e.g. --iops 500, or --none to take all away');
    const limited = await clientOf(limit).limitVolume({ params: { name }, body: none ? noLimits : change });
    print(limit, limited, ({ limits }) => {
      const text = limitsText(limits);
      return text === null ? `Volume ${name} has no limits.` : `Volume ${name} is limited to ${text}.`;
    });
  });
}

/** What REST is asked for: the flags that were given. */
export function changeOf({ iops, iopsBurst, bandwidth, bandwidthBurst, burstSeconds }: LimitFlags): LimitsChange {
  const change = { iops, iopsBurst, bandwidth, bandwidthBurst, burstSeconds };
  const named = Object.entries(change).filter(([, value]) => value !== undefined);
  return Object.fromEntries(named.map(([limit, value]) => [limit, value === 'none' ? null : value]));
}

function checkedCount(text: string): number | 'none' {
  return text === 'none' ? text : checkedNumber(text);
}

function checkedRate(text: string): string {
  return text === 'none' ? text : checkedSize(text);
}

function checkedNumber(text: string): number {
  if (/^[0-9]{1,15}$/.test(text) && Number(text) > 0) return Number(text);
  throw new InvalidArgumentError('It must be a whole number, at least 1.');
}
