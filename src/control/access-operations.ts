/** Who may use a volume: its iSCSI initiators, what they prove, and whether several frontends may serve it. */
import type { Access, AccessChange, KeyName } from '../api/schemas.js';
import { openAccess, type AccessSpec, type ChapUser } from '../engine/node-engine.js';
import { CairnError } from '../errors.js';
import { keyRefOf } from './key-refs.js';
import type { ControlParts } from './parts.js';
import type { VolumeRecord } from './records.js';
import type { VolumeOperations } from './volume-operations.js';
import { specOf } from './volume-steps.js';

export class AccessOperations {
  constructor(
    private readonly parts: ControlParts,
    private readonly volumes: VolumeOperations,
  ) {}

  async show(name: string): Promise<Access> {
    return viewOf((await this.volumes.existing(name)).record);
  }

  /** Holds for logins that begin later. Nothing changes when the data plane cannot be told. */
  change(name: string, change: AccessChange): Promise<Access> {
    return this.parts.mutex.run(name, async () => {
      const stored = await this.volumes.settled(name);
      const before = { access: stored.record.access ?? openAccess, shared: stored.record.shared ?? false };
      const after = changed(stored.record, before, change);
      const wanted = await this.parts.records.volumes.change(stored, after);
      try {
        await this.parts.engine.setAccess(specOf(wanted.record));
      } catch (error) {
        await this.parts.records.volumes.change(wanted, before);
        throw error;
      }
      this.parts.events.add({
        kind: 'volume-access-changed',
        volume: name,
        message: `Volume ${name} may be used by others now than before: ${textOf(after.access)}.`,
      });
      return viewOf(wanted.record);
    });
  }
}

interface Rules {
  access: AccessSpec;
  shared: boolean;
}

function changed({ name, frontend }: VolumeRecord, before: Rules, change: AccessChange): Rules {
  const { initiators = before.access.initiators, shared = before.shared } = change;
  const chap = change.chap === undefined ? before.access.chap : userOf(change.chap, 'chap.secret');
  const mutual = change.mutual === undefined ? before.access.mutual : userOf(change.mutual, 'mutual.secret');
  if (mutual && !chap)
    throw new CairnError(
      'invalid-request',
      'The service proves who it is only to initiators that do: set what they prove (chap) too.',
      { field: 'mutual' },
    );
  if (!shared && frontend === 'both')
    throw new CairnError('volume-attached', `Both frontends serve volume ${name}. Detach it first.`, {
      field: 'shared',
    });
  return { access: { initiators, chap, mutual }, shared };
}

function userOf(given: { user: string; secret: KeyName } | null, field: string): ChapUser | null {
  return given && { user: given.user, secret: keyRefOf(given.secret, field) };
}

function viewOf({ access = openAccess, shared = false }: VolumeRecord): Access {
  const { initiators, chap, mutual } = access;
  return { initiators, chap: chap as Access['chap'], mutual: mutual as Access['mutual'], shared };
}

function textOf({ initiators, chap }: AccessSpec): string {
  const who = initiators.length === 0 ? 'every initiator' : initiators.join(', ');
  return chap ? `${who}, as user ${chap.user}` : who;
}
