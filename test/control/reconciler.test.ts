/** What the service does without being asked: after a restart, after a data-plane process died, after failures. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CairnError } from '../../src/errors.js';
import { eventually, RunningService } from '../support/running-service.js';

const down = new CairnError('io-error', 'The disk is gone. Look at it.');

let service: RunningService;
beforeEach(async () => {
  service = await RunningService.start();
});
afterEach(() => service.end());

async function attached(...names: string[]): Promise<void> {
  for (const name of names) {
    await service.client.createVolume({ body: { name, size: '1GiB' } });
    await service.client.attachVolume({ params: { name } });
  }
}

async function stateOf(name: string): Promise<string> {
  return (await service.client.getVolume({ params: { name } })).state;
}

const ready = async (): Promise<number> => (await service.ask('GET', '/readyz')).status;

describe('a restarted service', () => {
  it('takes over what the data plane serves, without interrupting it', async () => {
    await attached('a');
    const held = service.dataPlane.open.get('a');
    await service.restart();
    await eventually(ready).toBe(200);
    expect(service.engine.calls).not.toContain('detach a');
    expect(service.dataPlane.open.get('a')?.replica).toBe(held?.replica);
    expect(await service.client.getVolume({ params: { name: 'a' } })).toMatchObject({
      state: 'attached',
      uris: ['nbd://127.0.0.1:10809/a'],
    });
  });

  it('attaches again what was attached when the data plane was stopped too', async () => {
    await attached('a');
    await service.client.createVolume({ body: { name: 'b', size: 4096 } });
    await service.restart(true);
    await eventually(() => stateOf('a')).toBe('attached');
    expect(await stateOf('b')).toBe('detached');
    expect([...service.dataPlane.open.keys()]).toEqual(['a']);
  });

  it('detaches what nobody wants attached', async () => {
    await attached('a', 'b');
    const stray = service.dataPlane.open.get('a');
    await service.client.detachVolume({ params: { name: 'a' } });
    if (stray)
      service.dataPlane.open.set('a', stray).set('unknown', { ...stray, spec: { ...stray.spec, name: 'unknown' } });
    await service.restart();
    await eventually(() => [...service.dataPlane.open.keys()]).toEqual(['b']);
  });

  it('disconnects nobody from a volume that should not run, and says so', async () => {
    await attached('a');
    const stray = service.dataPlane.open.get('a');
    await service.client.detachVolume({ params: { name: 'a' } });
    if (stray) service.dataPlane.open.set('a', { ...stray, clients: 1 });
    await service.restart();
    await eventually(() => stateOf('a')).toBe('faulted');
    Object.assign(service.dataPlane.open.get('a') ?? {}, { clients: 0 });
    await eventually(() => stateOf('a')).toBe('detached');
  });
});

describe('a data-plane process that died', () => {
  it('has its volumes served again at once when it is up', async () => {
    await attached('a', 'b');
    service.engine.kill();
    expect(await service.client.getVolume({ params: { name: 'a' } })).toMatchObject({
      state: 'faulted',
      reason: expect.stringContaining('attached again') as string,
    });
    service.engine.restart();
    await eventually(() => [...service.dataPlane.open.keys()].sort()).toEqual(['a', 'b']);
    expect(await stateOf('a')).toBe('attached');
    const kinds = (await service.client.listEvents()).events.map(({ kind }) => kind);
    expect(kinds).toEqual(expect.arrayContaining(['process-died', 'process-started', 'volume-attached']));
  });

  it('answers requests with 503 meanwhile', async () => {
    await attached('a');
    service.engine.kill();
    expect(await ready()).toBe(503);
    const { status, body } = await service.ask('POST', '/v1/volumes', { name: 'b', size: 4096 });
    expect([status, body.code]).toEqual([503, 'data-plane-unavailable']);
    service.engine.restart();
    await eventually(ready).toBe(200);
    await eventually(async () => (await service.client.listVolumes()).volumes.map(({ name }) => name)).toEqual(['a']);
  });
});

describe('a volume that fails', () => {
  it('is faulted with the reason, and retried until it works', async () => {
    await attached('a');
    service.engine.failNext('attach a', down, 3);
    service.engine.kill();
    service.engine.restart();
    await eventually(() => stateOf('a')).toBe('faulted');
    await eventually(() => stateOf('a')).toBe('attached');
    const events = (await service.client.listEvents({ query: { volume: 'a' } })).events.map(({ kind }) => kind);
    expect(events).toEqual(['volume-created', 'volume-attached', 'volume-faulted', 'volume-recovered']);
  });

  it('holds up no other, not even by hanging', async () => {
    await attached('a', 'b');
    let goOn = (): void => {};
    service.engine.before('attach a', () => new Promise((resolve) => (goOn = resolve)));
    service.engine.kill();
    service.engine.restart();
    await eventually(() => stateOf('b')).toBe('attached');
    service.engine.kill();
    service.engine.restart();
    await eventually(() => stateOf('b')).toBe('attached');
    expect(await stateOf('a')).toBe('faulted');
    goOn();
    await eventually(() => stateOf('a')).toBe('attached');
  });

  it('can be detached while it is faulted', async () => {
    await attached('a');
    service.engine.failNext('attach a', down, 1000);
    service.engine.kill();
    service.engine.restart();
    await eventually(() => stateOf('a')).toBe('faulted');
    expect(await service.client.detachVolume({ params: { name: 'a' } })).toMatchObject({
      state: 'detached',
      reason: null,
    });
  });

  it('is logged once for each kind of failure, not at every retry', async () => {
    await attached('a');
    service.engine.failNext('attach a', down, 4);
    service.engine.kill();
    service.engine.restart();
    await eventually(() => stateOf('a')).toBe('faulted');
    await eventually(() => stateOf('a')).toBe('attached');
    expect(service.log.filter(({ message }) => message === 'volume is faulted')).toHaveLength(1);
  });
});
