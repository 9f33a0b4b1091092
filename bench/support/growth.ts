/** Questions about what grows: not one point but lines over something that gets larger, and the figures that are asked of them. */
import type { Plan } from './rounds.js';

/** What was measured where the thing that grows was this large: one sample a round, or one an event. */
export interface Point {
  at: number;
  samples: readonly number[];
}

export interface Line {
  name: string;
  points: readonly Point[];
}

export interface Chart {
  title: string;
  /** What grows, and how a value of it is written. */
  axis: string;
  label?: (at: number) => string;
  unit: string;
  /** Digits behind the point; none by default. */
  digits?: number;
  /** Ours first. */
  lines: readonly Line[];
}

/** A figure that is asked for, and the one that was measured. */
export interface Verdict {
  asked: string;
  measured: number;
  /** Of both figures; empty for a ratio. */
  unit: string;
  /** One of them: the measured figure is not to be lower, or not to be higher. */
  least?: number;
  most?: number;
}

export interface GrowthResult {
  charts: readonly Chart[];
  verdicts: readonly Verdict[];
  /** What has to be known to read the figures. */
  notes: readonly string[];
}

export interface GrowthQuestion {
  /** The file's name without `.ts`; what `--only` selects. */
  name: string;
  title: string;
  /** Names of the contestants that take part; by default the usual ones. */
  only?: readonly string[];
  measure: (plan: Plan) => Promise<GrowthResult>;
}

export function isMet({ measured, least, most }: Verdict): boolean {
  return (least === undefined || measured >= least) && (most === undefined || measured <= most);
}

/** The line of this name at this point, if it was measured there. */
export function samplesAt(lines: readonly Line[], name: string, at: number): readonly number[] | undefined {
  return lines.find((line) => line.name === name)?.points.find((point) => point.at === at)?.samples;
}
