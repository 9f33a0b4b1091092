/** Randomness that a seed repeats. */

/** A small seeded generator of numbers below 1 (public domain, by Tommy Ettinger). */
export function mulberry32(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** CAIRN_TEST_SEED repeats a run; the seed is printed. */
export function testSeed(): number {
  const given = process.env['CAIRN_TEST_SEED'];
  const seed = given === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(given);
  console.log(`seed: CAIRN_TEST_SEED=${seed}`);
  return seed;
}
