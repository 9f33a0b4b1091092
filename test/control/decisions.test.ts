import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { noLimits } from '../../src/engine/native.js';
import { decide, type Action, type Situation } from '../../src/control/decisions.js';

const frontend = fc.constantFrom('nbd' as const, 'none' as const);
const source = { volume: 'parent', volumeId: 'v', snapshot: 's', snapshotId: 'i', state: 'flattening' as const };
const encryption = { provider: 'file', key: 'db', headerBytes: 0, allowDiscards: true };
const limited = { ...noLimits, iops: 100 };
const limits = fc.constantFrom(noLimits, limited);
const situations: fc.Arbitrary<Situation> = fc.record({
  wanted: fc.option(
    fc.record({
      state: fc.constantFrom('creating' as const, 'ready' as const, 'deleting' as const),
      frontend: fc.option(frontend),
      sizeBytes: fc.constantFrom(4096, 8192),
      source: fc.constantFrom(
        ...(['linked', 'flattening', 'flattened'] as const).map((state) => ({ ...source, state })),
        undefined,
      ),
      limits: fc.constantFrom(noLimits, limited, undefined),
      encryption: fc.constantFrom({ ...encryption, reencryption: { id: 'k' } }, encryption, undefined),
    }),
  ),
  unsettledSnapshots: fc.nat({ max: 3 }),
  running: fc.option(fc.record({ frontend, sizeBytes: fc.constantFrom(4096, 8192), limits })),
  isKnown: fc.boolean(),
});

/** What an action that succeeds makes of a situation. */
function after(situation: Situation, action: Action): Situation {
  const { wanted } = situation;
  switch (action.kind) {
    case 'attach':
      return {
        ...situation,
        running: {
          frontend: action.frontend,
          sizeBytes: situation.running?.sizeBytes ?? wanted?.sizeBytes ?? 0,
          limits: wanted?.limits ?? noLimits,
        },
        isKnown: true,
      };
    case 'detach':
      return { ...situation, running: null, isKnown: false };
    case 'finish-create':
      return { ...situation, wanted: wanted && { ...wanted, state: 'ready' } };
    case 'finish-delete':
      return { wanted: null, unsettledSnapshots: 0, running: null, isKnown: false };
    case 'resize':
      return {
        ...situation,
        running: situation.running && { ...situation.running, sizeBytes: wanted?.sizeBytes ?? 0 },
      };
    case 'limit':
      return {
        ...situation,
        running: situation.running && { ...situation.running, limits: wanted?.limits ?? noLimits },
      };
    case 'flatten':
      return { ...situation, wanted: wanted && { ...wanted, source: { ...source, state: 'flattened' } } };
    case 'reencrypt':
      return { ...situation, wanted: wanted && { ...wanted, encryption } };
    default:
      return { ...situation, unsettledSnapshots: 0 };
  }
}

function afterAll(situation: Situation): Situation {
  return decide(situation).reduce(after, situation);
}

describe('what is decided', () => {
  it('leaves nothing to do after at most two rounds', () => {
    fc.assert(
      fc.property(situations, (situation) => {
        expect(decide(afterAll(afterAll(situation)))).toEqual([]);
      }),
    );
  });

  it('ends with what is wanted', () => {
    fc.assert(
      fc.property(situations, (situation) => {
        const { wanted, running } = afterAll(afterAll(situation));
        const isGone = situation.wanted === null || situation.wanted.state === 'deleting';
        expect(wanted === null).toBe(isGone);
        expect(running?.frontend ?? null).toBe(isGone ? null : (situation.wanted?.frontend ?? null));
      }),
    );
  });

  it('never interrupts a volume that is served as wanted', () => {
    fc.assert(
      fc.property(situations, (situation) => {
        const { wanted, running } = situation;
        fc.pre(wanted?.state === 'ready' && running !== null && wanted.frontend === running.frontend);
        expect(decide(situation).map(({ kind }) => kind)).not.toContain('detach');
      }),
    );
  });

  it('never serves what is being created or deleted, and deletes only what is to be deleted', () => {
    fc.assert(
      fc.property(situations, (situation) => {
        const kinds = decide(situation).map(({ kind }) => kind);
        if (situation.wanted?.state !== 'ready') expect(kinds).not.toContain('attach');
        expect(kinds.includes('finish-delete')).toBe(situation.wanted?.state === 'deleting');
        expect(kinds.includes('finish-create')).toBe(situation.wanted?.state === 'creating');
      }),
    );
  });
});

describe('one volume', () => {
  const wanted = { state: 'ready' as const, frontend: 'nbd' as const, sizeBytes: 8192 };
  const ready = { wanted, unsettledSnapshots: 0, isKnown: true };

  it('is attached before its snapshots are settled', () => {
    expect(decide({ ...ready, unsettledSnapshots: 1, running: null })).toEqual([
      { kind: 'attach', frontend: 'nbd' },
      { kind: 'settle-snapshots' },
    ]);
  });

  it('is taken over by a service that does not know it yet', () => {
    expect(
      decide({ ...ready, running: { frontend: 'nbd', sizeBytes: 8192, limits: noLimits }, isKnown: false }),
    ).toEqual([{ kind: 'attach', frontend: 'nbd' }]);
  });

  it('is grown when it is smaller than it is to be, and only then', () => {
    const running = { frontend: 'nbd' as const, sizeBytes: 8192, limits: noLimits };
    expect(decide({ ...ready, running: { ...running, sizeBytes: 4096 } })).toEqual([{ kind: 'resize' }]);
    expect(decide({ ...ready, running })).toEqual([]);
  });

  it('has its header besides what clients see when it is encrypted', () => {
    const withHeader = { ...encryption, headerBytes: 4096 };
    const situation = { ...ready, wanted: { ...wanted, encryption: withHeader } };
    const running = { frontend: 'nbd' as const, sizeBytes: 8192, limits: noLimits };
    expect(decide({ ...situation, running })).toEqual([{ kind: 'resize' }]);
    expect(decide({ ...situation, running: { ...running, sizeBytes: 12_288 } })).toEqual([]);
  });

  it('is limited when it is limited otherwise than it is to be, and only then', () => {
    const running = { frontend: 'nbd' as const, sizeBytes: 8192, limits: noLimits };
    const bounded = { ...wanted, limits: limited };
    expect(decide({ ...ready, wanted: bounded, running })).toEqual([{ kind: 'limit' }]);
    expect(decide({ ...ready, wanted: bounded, running: { ...running, limits: { ...limited } } })).toEqual([]);
    expect(decide({ ...ready, running: { ...running, limits: limited } })).toEqual([{ kind: 'limit' }]);
  });

  it.each(['nbd', null] as const)('is flattened to the end, whether it is attached (%s)', (attached) => {
    const running = attached && { frontend: attached, sizeBytes: 8192, limits: noLimits };
    const clone = { ...wanted, frontend: attached, source };
    expect(decide({ ...ready, wanted: clone, running })).toEqual([{ kind: 'flatten' }]);
  });

  it.each(['nbd', null] as const)('is encrypted anew to the end, whether it is attached (%s)', (attached) => {
    const running = attached && { frontend: attached, sizeBytes: 8192, limits: noLimits };
    const changed = { ...wanted, frontend: attached, encryption: { ...encryption, reencryption: { id: 'k' } } };
    expect(decide({ ...ready, wanted: changed, running })).toEqual([{ kind: 'reencrypt' }]);
  });

  it('is detached when nobody knows of it', () => {
    expect(decide({ ...ready, wanted: null, running: { frontend: 'nbd', sizeBytes: 8192, limits: noLimits } })).toEqual(
      [{ kind: 'detach' }],
    );
  });
});
