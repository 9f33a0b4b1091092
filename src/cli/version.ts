/** `cairn version` */
import type { Command } from 'commander';
import { exampleOf } from './help-text.js';
import { print } from './output.js';
import { packageVersion } from './package-version.js';

export function configure(command: Command): void {
  exampleOf(command, 'cairn version').action(() =>
    print(command, { version: packageVersion() }, ({ version }) => version),
  );
}
