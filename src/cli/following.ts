/** Waiting for what goes on in the background of the service. */
import { setTimeout as delay } from 'node:timers/promises';

const pollMs = 500;

export interface Followed<State> {
  look: () => Promise<State>;
  isOver: (state: State) => boolean;
  /** 0 to 1. */
  progressOf: (state: State) => number;
  /** `Flattening data`; shown with the progress on a terminal. */
  title: string;
}

/** The first state in which it is over. */
export async function follow<State>(
  { look, isOver, progressOf, title }: Followed<State>,
  waitMs = pollMs,
): Promise<State> {
  const show = process.stderr.isTTY ? (text: string) => process.stderr.write(`\r\u001b[K${text}`) : () => false;
  for (;;) {
    const state = await look();
    if (isOver(state)) {
      show('');
      return state;
    }
    show(`${title} ... ${percent(progressOf(state))}`);
    await delay(waitMs);
  }
}

/** Full only when it is done. */
export function percent(progress: number): string {
  return `${Math.floor(progress * 100)}%`;
}
