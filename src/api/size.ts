/** Sizes as people write them. */
import { CairnError } from '../errors.js';

/** Letter case does not matter; as in lvm and qemu-img, a bare letter is binary too. `10GB` is refused: it is read in two ways. */
export const sizePattern = '^[0-9]+(\\.[0-9]+)? ?([KkMmGgTt]([Ii][Bb])?|[Bb])?$';

const units: Readonly<Record<string, number>> = { '': 1, b: 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30, t: 2 ** 40 };

/** `10GiB`, `1.5T`, `4096` or a number: bytes. Throws `invalid-request` naming `field`. */
export function parseSize(size: number | string, field = 'size'): number {
  const bytes = typeof size === 'number' ? size : bytesOf(size);
  if (Number.isSafeInteger(bytes) && bytes >= 0) return bytes;
  throw new CairnError(
    'invalid-request',
    `${JSON.stringify(size)} is not a size: write a whole number of bytes or, for example, "10GiB".`,
    {
      field,
    },
  );
}

/** The largest binary unit that needs at most one digit behind the point, e.g. `10GiB`, `1.5TiB`, `4096B`. */
export function formatSize(bytes: number): string {
  for (const unit of ['t', 'g', 'm', 'k']) {
    const value = bytes / (units[unit] ?? 1);
    if (value >= 1) return `${Number(value.toFixed(1))}${unit.toUpperCase()}iB`;
  }
  return `${bytes}B`;
}

function bytesOf(size: string): number {
  if (!new RegExp(sizePattern).test(size)) return Number.NaN;
  const unit = /[a-z]/i.exec(size)?.[0].toLowerCase() ?? '';
  return Number.parseFloat(size) * (units[unit] ?? Number.NaN);
}
