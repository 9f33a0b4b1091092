/** setLimits: at any time, for requests that wait too. */
import { describe, expect, it } from 'vitest';
import { noLimits } from '../../src/engine/native.js';
import { NbdConnection } from '../support/nbd-connection.js';
import { openNew, openServed, newReplica, startPlane } from '../support/native-plane.js';

describe('setLimits', () => {
  it('is told of by the volume, until it is set otherwise', async () => {
    const plane = startPlane();
    const { native } = plane;
    await openNew(plane, 'volume');
    expect(await native.volumeInfo('volume')).toMatchObject({ limits: noLimits });
    const limits = { iops: 500, iopsBurst: 2000, bandwidth: 4096, bandwidthBurst: null, burstSeconds: 60 };
    await native.setLimits('volume', limits);
    expect(await native.volumeInfo('volume')).toMatchObject({ limits });
    await native.setLimits('volume', noLimits);
    expect(await native.volumeInfo('volume')).toMatchObject({ limits: noLimits });
  });

  it('is part of opening a volume', async () => {
    const plane = startPlane();
    const limits = { ...noLimits, iops: 7 };
    const volume = { name: 'volume', directory: await newReplica(plane), cacheMode: 'none', limits } as const;
    expect(await plane.native.openVolume(volume)).toMatchObject({ limits });
  });

  it('lets go what waited for the limits before, and counts it', async () => {
    const plane = startPlane();
    const { directory } = await openNew(plane, 'volume');
    await plane.native.closeVolume('volume');
    const { address } = await openServed(plane, { name: 'volume', directory });
    await plane.native.setLimits('volume', { ...noLimits, iops: 1 });
    const client = await NbdConnection.open(address, 'volume');
    const reads = Array.from({ length: 50 }, () => client.read(0, 4096));
    await reads[0];
    await plane.native.setLimits('volume', noLimits);
    await Promise.all(reads);
    const { throttled, throttledMs } = (await plane.native.volumeInfo('volume')).counters;
    expect(throttled).toBeGreaterThanOrEqual(48);
    expect(throttledMs).toBeGreaterThan(0);
    await client.disconnect();
  });

  it('does not hold up the end of the data plane', async () => {
    const plane = startPlane();
    const { directory } = await openNew(plane, 'volume');
    await plane.native.closeVolume('volume');
    const { address } = await openServed(plane, { name: 'volume', directory });
    await plane.native.setLimits('volume', { ...noLimits, iops: 1 });
    const client = await NbdConnection.open(address, 'volume');
    const reads = Array.from({ length: 200 }, () => client.read(0, 4096));
    const outcome = Promise.allSettled(reads);
    await reads[0];
    await plane.native.close();
    await outcome;
  });

  it.each([
    [{ ...noLimits, iops: 1.5 }, 'iops must be a whole number'],
    [{ ...noLimits, iopsBurst: 5, burstSeconds: 1 }, 'iopsBurst must be null'],
    [{ ...noLimits, iops: 5, iopsBurst: 5, burstSeconds: 1 }, 'iopsBurst must be more'],
    [{ ...noLimits, bandwidth: 5, bandwidthBurst: 6 }, 'burstSeconds must be given'],
    [{ iops: 5 }, 'iopsBurst must be given'],
  ])('refuses %j', async (limits, why) => {
    const plane = startPlane();
    await openNew(plane, 'volume');
    expect(() => plane.native.setLimits('volume', limits as never)).toThrow(why);
  });

  it('knows no volume that is not open', async () => {
    await expect(startPlane().native.setLimits('volume', noLimits)).rejects.toMatchObject({ code: 'VOLUME_NOT_OPEN' });
  });
});
