/** Vault's JSON, of which some is secret. */

/**
 * The document of an answer, which is zeroed; undefined if it is no JSON. What the parser says about that quotes the text, so that nobody
 * hears it. The strings that it makes are JavaScript's own and cannot be zeroed.
 */
export function documentIn(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'));
  } catch {
    return undefined;
  } finally {
    body.fill(0);
  }
}

/** The value at a path of names; undefined if there is none. */
export function fieldOf(value: unknown, ...path: readonly string[]): unknown {
  return path.reduce<unknown>((at, name) => {
    const isThere = typeof at === 'object' && at !== null && Object.hasOwn(at, name);
    return isThere ? (at as Record<string, unknown>)[name] : undefined;
  }, value);
}

/** In memory of their own, not in Node's pool, for their reader zeroes them. */
export function bytesOf(text: string, encoding: 'utf8' | 'base64'): Uint8Array {
  const bytes = Buffer.alloc(Buffer.byteLength(text, encoding));
  return bytes.subarray(0, bytes.write(text, encoding));
}
