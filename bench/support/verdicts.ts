/** Whether a case reached what is asked of it, beside the others of the same rounds. */
import type { Verdict } from './growth.js';
import { isAboutThroughput, type Ask, type Case } from './question.js';
import type { Measured } from './rounds.js';
import { spreadOf } from './statistics.js';

/** Of the first contestant that is ours; none without one, or without the peers and the limit that the case names. */
export function verdictsOf({ workload, asks = [] }: Case, measured: readonly Measured[]): Verdict[] {
  const rate = isAboutThroughput(workload) ? 'megabytesPerSecond' : 'iops';
  const ours = measured.find(({ contestant }) => contestant.role === 'ours');
  const plain = measured.find(({ contestant }) => contestant.role === 'ours' && contestant !== ours?.contestant);
  const raw = measured.find(({ contestant }) => contestant.role === 'limit');
  const peers = measured.filter(({ contestant }) => contestant.role === 'peer');
  const alike = peers.filter(({ contestant }) => contestant.mode === ours?.contestant.mode);
  const fastest = (among: readonly Measured[]) => [...among].sort((a, b) => median(b, rate) - median(a, rate))[0];
  if (ours === undefined) return [];
  return asks.flatMap((ask): Verdict[] => {
    const compared = { raw, plain, 'own nbd': plain, 'best of all': fastest(peers), 'best alike': fastest(alike) };
    const peer = compared[ask.of];
    return peer === undefined ? [] : [verdictOf(ask, rate, { ours, peer, raw })];
  });
}

interface Compared {
  ours: Measured;
  peer: Measured;
  raw: Measured | undefined;
}

const names = {
  raw: 'the raw file',
  plain: 'the plain volume',
  'own nbd': 'its own NBD server',
  'best of all': 'the best peer',
  'best alike': 'the best peer alike',
} as const;

function verdictOf(ask: Ask, rate: 'iops' | 'megabytesPerSecond', compared: Compared): Verdict {
  const { ours, peer } = compared;
  const than = names[ask.of];
  if (ask.figure === 'rate') return rateVerdict(ask, rate, compared);
  if (ask.figure === 'cpu') {
    const measured = median(ours, 'serverCpu') / median(peer, 'serverCpu');
    return { asked: `CPU an operation, of that of ${than}`, measured, unit: '', most: ask.most };
  }
  const measured = median(ours, 'p50') - median(peer, 'p50');
  return { asked: `p50 above that of ${than}`, measured, unit: 'µs', most: ask.most };
}

function rateVerdict(
  { of, least, orOfRaw }: Extract<Ask, { figure: 'rate' }>,
  rate: 'iops' | 'megabytesPerSecond',
  { ours, peer, raw }: Compared,
): Verdict {
  const theirs = median(peer, rate);
  const enough = raw && orOfRaw !== undefined ? (orOfRaw * median(raw, rate)) / theirs : Infinity;
  const bound = orOfRaw === undefined ? '' : `, or ${orOfRaw} of the raw file if that is less`;
  return {
    asked: `${rate === 'iops' ? 'IOPS' : 'MB/s'} of ${names[of]}${bound}`,
    measured: median(ours, rate) / theirs,
    unit: '',
    least: Math.min(least, enough),
  };
}

function median({ samples }: Measured, figure: 'iops' | 'megabytesPerSecond' | 'p50' | 'serverCpu'): number {
  return spreadOf(samples.map((sample) => sample[figure])).median;
}
