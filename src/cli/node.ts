/** `cairn node ...` */
import type { Command } from 'commander';
import { exampleOf } from './help-text.js';
import { print } from './output.js';
import { clientOf } from './service-client.js';

export function configure(node: Command): void {
  exampleOf(node, 'cairn node reload-tls');
  const reload = node
    .command('reload-tls')
    .description('Read the certificates and keys of NBD anew; connected clients go on');
  exampleOf(reload, 'cairn node reload-tls');
  reload.action(async () => {
    print(reload, await clientOf(reload).reloadTls(), () => 'Certificates and keys were read anew.');
  });
}
