/** `cairn status`: the service, its data-plane processes, pools and volumes on one page. */
import type { Command } from 'commander';
import type { Output } from '../api/operations.js';
import { exampleOf } from './help-text.js';
import { detailsOf, print, tableOf } from './output.js';
import { clientOf } from './service-client.js';
import { sizeOrAbsent, volumeTable } from './volume-output.js';

interface Status {
  node: Output<'getNode'>;
  volumes: Output<'listVolumes'>['volumes'];
}

export function configure(status: Command): void {
  exampleOf(status, 'cairn status -o json').action(async () => {
    const client = clientOf(status);
    const [node, { volumes }] = await Promise.all([client.getNode(), client.listVolumes()]);
    print(status, { node, volumes }, statusPage);
  });
}

function statusPage({ node, volumes }: Status): string {
  const service = detailsOf([
    ['Host', node.host],
    ['Service', `cairn ${node.version}, pid ${node.pid}, since ${node.started}`],
    ['Isolation', node.isolation],
  ]);
  const processes = tableOf(
    ['PROCESS', 'PID', 'VERSION', 'STARTED', 'VOLUMES'],
    node.processes.map((each) => [each.id, String(each.pid), each.version, each.started, String(each.volumes.length)]),
  );
  const pools = tableOf(
    ['POOL', 'STATE', 'SIZE', 'AVAILABLE'],
    node.pools.map(({ directory, state, sizeBytes, availableBytes }) => {
      return [directory, state, sizeOrAbsent(sizeBytes), sizeOrAbsent(availableBytes)];
    }),
  );
  const held =
    volumes.length === 0 ? 'No volumes. Create one: cairn volume create data --size 10GiB' : volumeTable(volumes);
  return [service, processes, pools, held].join('\n\n');
}
