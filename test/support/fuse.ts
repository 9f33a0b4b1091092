/** The death of a service in the middle of an operation. */
import type { KeyValueStore } from '../../src/control/store/key-value-store.js';
import type { NodeEngine } from '../../src/engine/node-engine.js';
import type { PoolDevices } from '../../src/engine/pool-devices.js';

/** Lets so many steps happen; then nothing that goes through it ever happens or answers again. */
export class Fuse {
  readonly blown: Promise<'blown'>;
  private blow: () => void = () => {};

  constructor(private stepsLeft: number) {
    this.blown = new Promise((resolve) => (this.blow = () => resolve('blown')));
  }

  /** `target` with a step before and after each of its asynchronous calls. */
  guard<Target extends KeyValueStore | NodeEngine | PoolDevices>(target: Target): Target {
    return new Proxy(target, {
      get: (_target, name) => {
        const member: unknown = Reflect.get(target, name);
        if (typeof member !== 'function' || name === 'processes') return member;
        return async (...given: unknown[]): Promise<unknown> => {
          await this.step();
          const result: unknown = await Reflect.apply(member, target, given);
          await this.step();
          return result;
        };
      },
    });
  }

  private step(): Promise<void> {
    if (this.stepsLeft-- > 0) return Promise.resolve();
    this.blow();
    return new Promise(() => {});
  }
}
