/**
 * iSCSI targets, and the address at which initiators find them. The process that listens serves the volumes it holds itself; a
 * connection to any other goes to its holder. It listens only while a volume is attached by iSCSI: the host may have another target.
 */
import type { KeySource } from '../keys/key-source.js';
import { CairnError, hasCode } from '../errors.js';
import type { GetStateResponse, Target } from '../generated/cairn/dataplane/v1/data_plane_pb.js';
import { toWireAccess, toWireTarget } from './data-plane-messages.js';
import { connectable, listenTcp } from './listening.js';
import type { Access, Credential } from './native.js';
import type { AccessSpec, ChapUser, VolumeSpec } from './node-engine.js';
import type { RunDirectory } from './run-directory.js';
import type { DataPlaneCalls } from './supervised-process.js';

export interface IscsiSettings {
  host: string;
  /** 0 picks a free one, which is then kept. */
  port: number;
  /** Where initiators are told that targets are; none: where they have connected to. */
  portals: { host: string; port: number }[];
  /** Of discovery sessions. */
  discovery: AccessSpec;
}

/** A volume that another process than the front holds. */
export interface HandedOverTarget {
  name: string;
  holder: string;
  /** `null`: not known yet. */
  access: AccessSpec | null;
}

const portDefault = 3260;

/** HOST or HOST:PORT, an IPv6 address in brackets. */
export function parsePortal(text: string): { host: string; port: number } {
  const match = /^\[?(?<host>[^\]]*?)\]?(?::(?<port>\d+))?$/.exec(text);
  return { host: match?.groups?.['host'] ?? text, port: Number(match?.groups?.['port'] ?? portDefault) };
}

const targetPrefix = 'iqn.2026-11.io.cairn:';

export function targetNameOf(volume: string): string {
  return `${targetPrefix}${volume}`;
}

export class IscsiFront {
  private boundPort: number;
  private failed = false;

  constructor(
    private readonly directory: RunDirectory,
    private readonly settings: IscsiSettings,
    private readonly keys: KeySource,
  ) {
    this.boundPort = settings.port;
  }

  /** Initiators find nobody, though they should: it has been tried. */
  get isDown(): boolean {
    return this.failed;
  }

  /** Where the volume is held. Idempotent; the access becomes what the spec says. */
  async serve(calls: DataPlaneCalls, spec: VolumeSpec, decrypted: boolean): Promise<void> {
    const { name, volumeId, description, readOnly } = spec;
    const target = toWireTarget({
      name: targetNameOf(name),
      alias: description,
      readOnly,
      decrypted,
      volume: name,
      volumeId,
      handover: null,
    });
    await this.withAccess(spec.access, async (access) => {
      await calls.addTarget({ target, access: toWireAccess(access) });
    });
  }

  /** The process has gone on serving it, and it lets in whom it did. Throws where somebody must say first whom. */
  async assertServed(calls: DataPlaneCalls, volume: string): Promise<void> {
    const { targets } = await calls.getState({});
    const wanted = targetNameOf(volume);
    if (targets.some(({ name }) => name === wanted)) return;
    throw new CairnError('key-unavailable', `Whom target ${wanted} lets in, and by which secrets, is to be asked for.`);
  }

  /** Makes the process that listens know a target of another one. What an initiator proves is that one's business. */
  async handOver(calls: DataPlaneCalls, { name, holder, access }: HandedOverTarget): Promise<void> {
    const handover = { path: this.directory.iscsiHandoverSocket(holder) };
    if (access === null) return; // it goes on as it is, or is not to be found until somebody knows
    const shown = toWireAccess({ initiators: access.initiators, chap: [], mutual: null });
    const target = toWireTarget({
      name: targetNameOf(name),
      alias: '',
      readOnly: false,
      decrypted: false,
      volume: null,
      volumeId: '',
      handover,
    });
    try {
      await calls.addTarget({ target, access: shown });
    } catch (error) {
      if (!hasCode(error, 'export-exists')) throw error;
      await this.remove(calls, name, true); // from the volume's last attachment
      await calls.addTarget({ target, access: shown });
    }
  }

  /** Makes the process know exactly these targets of others, and listen if there is any target at all. */
  async restore(calls: DataPlaneCalls, targets: readonly HandedOverTarget[], isNeeded: boolean): Promise<void> {
    this.failed = isNeeded; // until it has succeeded
    const state = await calls.getState({});
    for (const stale of staleTargets(state, targets)) await removeIfThere(calls, stale.name, true);
    for (const target of targets) await this.handOver(calls, target);
    if (isNeeded) await this.listen(calls);
  }

  /** Succeeds if there is no such target. */
  async remove(calls: DataPlaneCalls, volume: string, force: boolean): Promise<void> {
    await removeIfThere(calls, targetNameOf(volume), force);
  }

  async listen(calls: DataPlaneCalls): Promise<void> {
    const { host, portals, discovery } = this.settings;
    await this.withAccess(discovery, async (access) => {
      await calls.setDiscovery({ access: toWireAccess(access), portals });
    });
    const { listeners } = await calls.getState({});
    try {
      this.boundPort = await listenTcp(calls, 'iscsiTcp', { host, port: this.boundPort }, listeners);
      this.failed = false;
    } catch (error) {
      if (!hasCode(error, 'address-in-use')) throw error;
      throw new CairnError(
        'address-in-use',
        `Port ${this.boundPort} at ${host}, where iSCSI initiators are to connect, is in use by another program. ` +
          'Set iscsi.port (CAIRN_ISCSI_PORT) to a free one, or stop that program.',
        { cause: error },
      );
    }
  }

  /** Nothing is attached by iSCSI any more: the port is somebody else's to take. */
  async stopListening(calls: DataPlaneCalls): Promise<void> {
    this.failed = false;
    const { listeners } = await calls.getState({});
    for (const { address } of listeners)
      if (address.case === 'iscsiTcp') await calls.unlisten({ listener: { address } });
  }

  urisOf(volume: string): string[] {
    const { host, portals } = this.settings;
    const own = { host, port: this.boundPort };
    const path = `${encodeURIComponent(targetNameOf(volume)).replaceAll('%3A', ':')}/0`;
    return (portals.length > 0 ? portals : [own]).map((at) => `iscsi://${connectable(at.host)}:${at.port}/${path}`);
  }

  /** With the secrets, for as long as it takes. */
  private async withAccess(spec: AccessSpec, use: (access: Access) => Promise<void>): Promise<void> {
    await this.withSecret(spec.chap, (chap) =>
      this.withSecret(spec.mutual, (mutual) => use({ initiators: spec.initiators, chap: chap ? [chap] : [], mutual })),
    );
  }

  private async withSecret(user: ChapUser | null, use: (known: Credential | null) => Promise<void>): Promise<void> {
    if (user === null) return use(null);
    await this.keys.use(user.secret, (secret) => use({ user: user.user, secret }));
  }
}

/** Whether somebody who has the secrets must be asked before it can be served. */
export function needsSecrets({ chap, mutual }: AccessSpec): boolean {
  return chap !== null || mutual !== null;
}

function staleTargets({ targets }: GetStateResponse, wanted: readonly HandedOverTarget[]): Target[] {
  const names = new Set(wanted.map(({ name }) => targetNameOf(name)));
  return targets.filter(({ name, handoverPath }) => handoverPath !== '' && !names.has(name));
}

async function removeIfThere(calls: DataPlaneCalls, name: string, force: boolean): Promise<void> {
  try {
    await calls.removeTarget({ name, force });
  } catch (error) {
    if (!hasCode(error, 'export-not-found')) throw error;
  }
}
