/**
 * The addresses at which clients find volumes, and the one process that listens there. That process serves the volumes it
 * holds itself; connections to any other go to its holder through the holder's hand-over socket.
 */
import { hasCode } from '../errors.js';
import type { Export, GetStateResponse, Listener } from '../generated/cairn/dataplane/v1/data_plane_pb.js';
import { toWireExport } from './data-plane-messages.js';
import { connectable, patiently } from './listening.js';
import type { RunDirectory } from './run-directory.js';
import type { DataPlaneCalls, RunningProcess } from './supervised-process.js';

export interface NbdAddress {
  host: string;
  /** 0 picks a free one, which is then kept. */
  port: number;
}

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
    const { host } = this.address;
    const port = this.boundPort === 0 ? portOf(existing, host) : this.boundPort;
    const bound = await this.listenTcp(calls, { host, port }, existing.filter(isTcp));
    if (bound) this.boundPort = portOf([bound], host) || this.boundPort;
    const unix = { address: { case: 'nbdUnix', value: this.directory.nbdSocket } } as const;
    await patiently(() => calls.listen({ listener: unix }));
  }

  /** There and, on TCP, nowhere else: an address that is no longer configured is given up, its connections stay. */
  private async listenTcp(
    calls: DataPlaneCalls,
    value: NbdAddress,
    existing: readonly Listener[],
  ): Promise<Listener | undefined> {
    const wanted = { address: { case: 'nbdTcp', value } } as const;
    const inTheWay = existing.filter(
      (each) => keyOf(each) !== `${value.host} ${value.port}` && portAt(each) === value.port,
    );
    for (const each of inTheWay) await giveUp(calls, each);
    try {
      const { listener } = await patiently(() => calls.listen({ listener: wanted }));
      for (const each of existing) if (listener && keyOf(each) !== keyOf(listener)) await giveUp(calls, each);
      return listener;
    } catch (error) {
      // Clients go on finding their volumes where they did.
      for (const { address } of inTheWay) await calls.listen({ listener: { address } }).catch(() => {});
      throw error;
    }
  }
}

function isTcp({ address }: Listener): boolean {
  return address.case === 'nbdTcp';
}

function portAt({ address }: Listener): number {
  return address.case === 'nbdTcp' ? address.value.port : 0;
}

function keyOf({ address }: Listener): string {
  return address.case === 'nbdTcp' ? `${address.value.host} ${address.value.port}` : '';
}

/** A process of an earlier version cannot: it goes on listening there, which changes nothing for its clients. */
async function giveUp(calls: DataPlaneCalls, { address }: Listener): Promise<void> {
  await calls.unlisten({ listener: { address } }).catch(() => {});
}

/** 0 when none of them listens on TCP at this host. */
function portOf(listeners: readonly Listener[], host: string): number {
  for (const { address } of listeners) {
    if (address.case === 'nbdTcp' && address.value.host === host) return address.value.port;
  }
  return 0;
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
