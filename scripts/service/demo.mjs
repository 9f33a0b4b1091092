// The volume that `npm start` makes and attaches through REST, and the lines to paste that it prints.
import { findCommand } from '../setup/system-packages.mjs';
import { SetupFailed } from '../setup/steps.mjs';

const name = 'demo';
const size = '10GiB';

/** Creates the volume the first time and attaches it. Returns the NBD URI. */
export async function attachDemo(restUrl) {
  const volumes = `${restUrl}/v1/volumes`;
  const existing = await request('GET', `${volumes}/${name}`, undefined, [404]);
  if (existing.status === 404) await request('POST', volumes, { name, size });
  const { body } = await request('POST', `${volumes}/${name}/attach`, { frontend: 'nbd' });
  return body.uris[0];
}

/** What to type next, for a volume at `uri`. */
export function linesToPaste(uri, restUrl, settings, log) {
  const { hostname, port } = new URL(uri);
  const atAnotherPort = settings.CAIRN_REST_PORT === '9420' ? '' : `CAIRN_SERVER=${restUrl} `;
  const rows = [
    ['look at it', `nbdinfo ${uri}`],
    ['', `qemu-img info ${uri}`],
    ['block device', `sudo modprobe nbd && sudo nbd-client ${hostname} ${port} /dev/nbd0 -N ${name} -b 4096`],
    ['virtual machine', `qemu-system-x86_64 -m 1G -drive file=${uri},format=raw,if=virtio`],
    ['CLI', `${atAnotherPort}node dist/cli/main.js volume list`],
    ['REST', `curl -s ${restUrl}/v1/volumes`],
    ['Swagger UI', `${restUrl}/docs`],
    ['logs', log],
  ];
  const lines = rows.map(([what, line]) => `  ${what.padEnd(16)} ${line}`);
  return [...lines, ...installHint()].join('\n');
}

function installHint() {
  const clients = { nbdinfo: 'libnbd-bin', 'qemu-img': 'qemu-utils', 'nbd-client': 'nbd-client' };
  const missing = Object.entries(clients).filter(([command]) => findCommand(command) === null);
  if (missing.length === 0) return [];
  return [
    '',
    `  Clients that are not installed here: sudo apt-get install -y ${missing.map(([, source]) => source).join(' ')}`,
  ];
}

async function request(method, url, body, accepted = []) {
  const json = { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) };
  const response = await fetch(url, body === undefined ? { method } : { method, ...json });
  const text = await response.text();
  if (!response.ok && !accepted.includes(response.status)) {
    throw new SetupFailed(`${method} ${url} was answered with ${response.status}:\n${text}`);
  }
  return { status: response.status, body: text === '' ? undefined : JSON.parse(text) };
}
