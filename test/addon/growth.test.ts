/** resizeVolume: more, at any time, and never less. */
import { describe, expect, it } from 'vitest';
import { NbdConnection } from '../support/nbd-connection.js';
import { openNew, openServed, startPlane } from '../support/native-plane.js';

const mebibyte = 2 ** 20;

describe('resizeVolume', () => {
  it('is seen at once, and after the volume was closed', async () => {
    const plane = startPlane();
    const { directory } = await openNew(plane, 'volume', { sizeBytes: mebibyte });
    await plane.native.resizeVolume('volume', 2 * mebibyte);
    expect(await plane.native.volumeInfo('volume')).toMatchObject({ sizeBytes: 2 * mebibyte });
    await plane.native.closeVolume('volume');
    const { address } = await openServed(plane, { name: 'volume', directory });
    const client = await NbdConnection.open(address, 'volume');
    expect(client.sizeBytes).toBe(2 * mebibyte);
    await client.disconnect();
  });

  it.each([mebibyte - 4096, 0, mebibyte + 1, mebibyte + 512])(
    'refuses %d bytes for a volume of 1 MiB',
    async (size) => {
      const plane = startPlane();
      await openNew(plane, 'volume', { sizeBytes: mebibyte });
      await expect(plane.native.resizeVolume('volume', size)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
      expect(await plane.native.volumeInfo('volume')).toMatchObject({ sizeBytes: mebibyte });
    },
  );

  it('knows no volume that is not open', async () => {
    const refused = startPlane().native.resizeVolume('volume', mebibyte);
    await expect(refused).rejects.toMatchObject({ code: 'VOLUME_NOT_OPEN' });
  });
});
