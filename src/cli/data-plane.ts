/** `cairn data-plane ID`: internal, started by `cairn serve`. */
import { InvalidArgumentError, Option, type Command } from 'commander';
import type { LogLevel } from '../engine/process-log.js';
import { packageVersion } from './package-version.js';

interface DataPlaneFlags {
  runDirectory: string;
  reactors: number;
  bufferMib: number;
  connectionsMax: number;
  negotiationsMax: number;
  iscsiConnectionsMax: number;
  iscsiLoginsMax: number;
  logLevel: LogLevel;
}

const mebibyte = 1024 * 1024;

export function configure(command: Command): void {
  command
    .argument('<id>', 'node, front or volume-NAME')
    .requiredOption('--run-directory <path>', 'where the control socket goes')
    .option('--reactors <number>', 'I/O threads', positiveInteger, 1)
    .option('--buffer-mib <number>', 'I/O buffers of each reactor, in MiB', positiveInteger, 64)
    .option('--connections-max <number>', 'NBD connections at the same time', positiveInteger, 4096)
    .option('--negotiations-max <number>', 'of those, in the handshake', positiveInteger, 1024)
    .option('--iscsi-connections-max <number>', 'iSCSI connections at the same time', positiveInteger, 4096)
    .option('--iscsi-logins-max <number>', 'of those, not logged in yet', positiveInteger, 256)
    .addOption(new Option('--log-level <level>').choices(['debug', 'info', 'warn', 'error']).default('info'))
    .addHelpText('after', '\nExample:\n  cairn data-plane node --run-directory /run/cairn')
    .action(async (id: string, { bufferMib, iscsiConnectionsMax, iscsiLoginsMax, ...flags }: DataPlaneFlags) => {
      const { runDataPlaneProcess } = await import('../engine/data-plane-process.js');
      const bufferBytes = bufferMib * mebibyte;
      const iscsi = { connectionsMax: iscsiConnectionsMax, loginsMax: iscsiLoginsMax };
      await runDataPlaneProcess({ id, ...flags, bufferBytes, iscsi, version: packageVersion() });
    });
}

function positiveInteger(text: string): number {
  const number = Number(text);
  if (Number.isSafeInteger(number) && number > 0) return number;
  throw new InvalidArgumentError('It must be a whole number above 0.');
}
