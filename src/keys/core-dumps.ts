import { writeFileSync } from 'node:fs';

let isKeptOut = false;

/**
 * A passphrase passes through memory of JavaScript, which cannot be locked page by page: from the first one on, a dump of the process has
 * no memory in it but ELF headers (core(5), coredump_filter).
 */
export function keepOutOfCoreDumps(): void {
  if (isKeptOut) return;
  isKeptOut = true;
  try {
    writeFileSync('/proc/self/coredump_filter', '0x10');
  } catch {
    // A kernel without core dumps.
  }
}
