/** The service that a command speaks to: the one that `--server` or CAIRN_SERVER names. */
import type { Command } from 'commander';
import { createClient, type Client } from '../api/client.js';

export function clientOf(command: Command): Client {
  return createClient({ url: command.optsWithGlobals<{ server: string }>().server });
}
