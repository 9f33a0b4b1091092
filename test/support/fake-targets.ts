/** iSCSI targets of a data plane that serves nobody. */
import type { Access, NewTarget } from '../../src/engine/native.js';
import { fail } from './fake-replica-files.js';

export class FakeTargets {
  private readonly byName = new Map<string, NewTarget>();

  all(): NewTarget[] {
    return [...this.byName.values()];
  }

  add({ access, ...target }: NewTarget & { access: Access }): void {
    if (this.byName.has(target.name)) fail('EXPORT_EXISTS', `${target.name} is taken`);
    check(access);
    this.byName.set(target.name, target);
  }

  remove(name: string): void {
    if (!this.byName.delete(name)) fail('EXPORT_MISSING', `no target ${name}`);
  }

  setAccess(name: string, access: Access): void {
    if (!this.byName.has(name)) fail('EXPORT_MISSING', `no target ${name}`);
    check(access);
  }
}

function check({ chap }: Access): void {
  if (chap.some(({ secret }) => secret.length < 12)) fail('INVALID_ARGUMENT', 'a secret has at least 12 bytes');
}
