/**
 * The addresses at which clients find volumes, and the one process that listens there. That process serves the volumes it
 * holds itself; connections to any other go to its holder through the holder's hand-over socket.
 */
import { hasCode } from '../errors.js';
import type { Export, GetStateResponse, Listener } from '../generated/cairn/dataplane/v1/data_plane_pb.js';
import { toWireExport } from './data-plane-messages.js';
import { connectable, listenTcp, patiently, type TcpAddress } from './listening.js';
import type { RunDirectory } from './run-directory.js';
import type { DataPlaneCalls, RunningProcess } from './supervised-process.js';

export type NbdAddress = TcpAddress;

/** A volume that another process than the front holds. */
export interface HandedOverExport {
  name: string;
  description: string;
  holder: string;
}

export class NbdFront {
  private boundPort: number;

  constructor(
    private readonly directory: RunDirectory,
    private readonly address: NbdAddress,
    /** Clients that do not encrypt are refused. */
    private readonly requiresTls: boolean,
  ) {
    this.boundPort = address.port;
  }

  /** Makes the process listen at the addresses and know exactly these exports of other processes. Idempotent. */
  async serve({ calls }: RunningProcess, exports: readonly HandedOverExport[]): Promise<void> {
    const state = await calls.getState({});
    for (const stale of staleExports(state, exports)) await removeIfThere(calls, stale.name, true);
    for (const exported of exports) await this.add(calls, exported);
    await this.listen(calls, state.listeners);
  }

  async add(calls: DataPlaneCalls, { name, description, holder }: HandedOverExport): Promise<void> {
    const handover = { path: this.directory.handoverSocket(holder) };
    const wire = toWireExport({ name, description, readOnly: false, decrypted: false, volume: null, handover });
    try {
      await calls.addExport({ export: wire });
    } catch (error) {
      if (!hasCode(error, 'export-exists')) throw error;
      await removeIfThere(calls, name, true); // from the volume's last attachment
      await calls.addExport({ export: wire });
    }
  }

  /** Succeeds if there is no such export. */
  async remove(calls: DataPlaneCalls, name: string, force: boolean): Promise<void> {
    await removeIfThere(calls, name, force);
  }

  urisOf(name: string): string[] {
    const host = connectable(this.address.host);
    const socket = encodeURIComponent(this.directory.nbdSocket).replaceAll('%2F', '/');
    const path = encodeURIComponent(name);
    const scheme = this.requiresTls ? 'nbds' : 'nbd';
    return [`${scheme}://${host}:${this.boundPort}/${path}`, `${scheme}+unix:///${path}?socket=${socket}`];
  }

  private async listen(calls: DataPlaneCalls, existing: readonly Listener[]): Promise<void> {
    this.boundPort = await listenTcp(calls, 'nbdTcp', { ...this.address, port: this.boundPort }, existing);
    const unix = { address: { case: 'nbdUnix', value: this.directory.nbdSocket } } as const;
    await patiently(() => calls.listen({ listener: unix }));
  }
}

export function isFront({ listeners }: GetStateResponse): boolean {
  return listeners.some(({ address }) => address.case === 'nbdTcp' || address.case === 'nbdUnix');
}

function staleExports(state: GetStateResponse, wanted: readonly HandedOverExport[]): Export[] {
  const names = new Set(wanted.map(({ name }) => name));
  return state.exports.filter(({ name, handoverPath }) => handoverPath !== '' && !names.has(name));
}

async function removeIfThere(calls: DataPlaneCalls, name: string, force: boolean): Promise<void> {
  try {
    await calls.removeExport({ name, force });
  } catch (error) {
    if (!hasCode(error, 'export-not-found')) throw error;
  }
}
