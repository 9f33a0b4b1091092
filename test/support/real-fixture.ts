/** Cairn's life in a test: ended and removed after it, and heard when the test fails. */
import { afterAll, beforeAll, onTestFinished } from 'vitest';
import { RealCairn, type RealCairnOptions } from './real-cairn.js';

const logLinesMax = 20;

/** A Cairn for the running test alone. */
export async function freshCairn(options: RealCairnOptions = {}): Promise<RealCairn> {
  const cairn = await RealCairn.start(options);
  onTestFinished(async ({ task }) => {
    if (task.result?.state === 'fail') console.error(`The end of the logs:\n${cairn.logs(logLinesMax)}`);
    await cairn.close();
  });
  return cairn;
}

/** One Cairn for all tests of a suite that do it no harm. */
export function sharedCairn(options: RealCairnOptions = {}): () => RealCairn {
  let cairn: RealCairn | undefined;
  beforeAll(async () => {
    cairn = await RealCairn.start(options);
  });
  afterAll(() => cairn?.close());
  return () => {
    if (cairn === undefined) throw new Error('Cairn has not started.');
    return cairn;
  };
}

let volumes = 0;

/** A name that no other volume of this run has. */
export function volumeName(): string {
  volumes += 1;
  return `vol-${volumes}`;
}
