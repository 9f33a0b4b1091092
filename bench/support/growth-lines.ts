/** Lines of one figure out of cases that were measured at several sizes of what grows. */
import type { Line } from './growth.js';
import type { Measured, Sample } from './rounds.js';
import { spreadOf } from './statistics.js';

/** One line a contestant. `measured[i]` is of the case at `places[i]`. */
export function contestantLines(
  places: readonly number[],
  measured: readonly (readonly Measured[])[],
  figure: keyof Sample,
): Line[] {
  const names = new Set(measured.flatMap((entries) => entries.map(({ contestant }) => contestant.name)));
  return [...names].sort(oursFirst).map((name) => ({
    name,
    points: places.flatMap((at, index) => {
      const entry = measured[index]?.find(({ contestant }) => contestant.name === name);
      return entry ? [{ at, samples: entry.samples.map((sample) => sample[figure]) }] : [];
    }),
  }));
}

/** The name of the line that the targets are asked of. */
export const ours = 'cairn';

function oursFirst(one: string, other: string): number {
  return Number(other === ours) - Number(one === ours);
}

/** A figure that is the same everywhere, as a line to compare with. */
export function levelLine(name: string, places: readonly number[], value: number): Line {
  return { name, points: places.map((at) => ({ at, samples: [value] })) };
}

/** The ratio of two medians; zero when one was not measured. */
export function ratioOf(samples: readonly number[] | undefined, base: readonly number[] | undefined): number {
  if (!samples?.length || !base?.length) return 0;
  return spreadOf(samples).median / spreadOf(base).median;
}
