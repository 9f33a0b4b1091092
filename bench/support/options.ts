/** The command line of `npm run bench`. */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { Transport } from './contestant.js';

export interface Options {
  rounds: number;
  seconds: number;
  sizeBytes: number;
  transport: Transport;
  /** Where the volumes' files go; its file system is the one that is measured. */
  directory: string;
  /** Names of questions; empty for all. */
  only: string[];
  /** Parts of names of contestants; empty for the usual ones. */
  contestants: string[];
  force: boolean;
  /** One more run of each case of Cairn's, under perf. */
  flame: boolean;
}

export const usage = `npm run bench -- [options]

  --rounds N           rounds of each case, interleaved over the contestants (5)
  --seconds N          length of one measurement (3)
  --size N             GiB of the written volume (2); thin ones are four times as large
  --only NAME,…        questions: the names of the files in bench/
  --contestants NAME,… those whose name holds one of these, also ones that are usually left out
  --transport unix|tcp how clients reach the servers (unix)
  --directory PATH     where the volumes' files go, on a disk (build/bench)
  --flame              and a flame graph of Cairn in each case (needs perf and root)
  --force              measure on a busy machine too`;

export function parseOptions(args: string[], root: string): Options {
  const { values } = parseArgs({
    args,
    options: {
      rounds: { type: 'string', default: '5' },
      seconds: { type: 'string', default: '3' },
      size: { type: 'string', default: '2' },
      only: { type: 'string', default: '' },
      contestants: { type: 'string', default: '' },
      transport: { type: 'string', default: 'unix' },
      directory: { type: 'string', default: join(root, 'build/bench') },
      flame: { type: 'boolean', default: false },
      force: { type: 'boolean', default: false },
    },
  });
  return {
    rounds: positive('rounds', values.rounds),
    seconds: positive('seconds', values.seconds),
    sizeBytes: Math.round(positive('size', values.size) * 256) * 2 ** 22,
    transport: transportOf(values.transport),
    directory: values.directory,
    only: listOf(values.only),
    contestants: listOf(values.contestants),
    flame: values.flame,
    force: values.force,
  };
}

function positive(name: string, text: string): number {
  const value = Number(text);
  if (value > 0 && Number.isFinite(value)) return value;
  throw new TypeError(`--${name} needs a number above 0, not ${JSON.stringify(text)}.`);
}

function transportOf(text: string): Transport {
  if (text === 'unix' || text === 'tcp') return text;
  throw new TypeError(`--transport is unix or tcp, not ${JSON.stringify(text)}.`);
}

function listOf(text: string): string[] {
  return text.split(',').filter((part) => part !== '');
}
