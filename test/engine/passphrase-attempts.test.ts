/** Wrong passphrases have to wait. */
import { describe, expect, it } from 'vitest';
import { PassphraseAttempts } from '../../src/engine/passphrase-attempts.js';
import { CairnError } from '../../src/errors.js';

const wrong = () => Promise.reject(new CairnError('wrong-passphrase', 'No key slot opens.'));
const right = () => Promise.resolve('opened');

describe('attempts', () => {
  let nowMs = 1_000_000;
  const attempts = () => new PassphraseAttempts(() => nowMs);

  it('wait longer each time that one was wrong, a minute at most', async () => {
    const volume = attempts();
    for (const seconds of [1, 2, 4, 8, 16, 32, 60, 60]) {
      await expect(volume.run('db', wrong)).rejects.toMatchObject({ code: 'wrong-passphrase' });
      await expect(volume.run('db', right)).rejects.toMatchObject({
        code: 'too-many-attempts',
        retryAfterSeconds: seconds,
      });
      nowMs += seconds * 1000 - 1;
      await expect(volume.run('db', right)).rejects.toMatchObject({ code: 'too-many-attempts', retryAfterSeconds: 1 });
      nowMs += 1;
    }
    expect(await volume.run('db', right)).toBe('opened');
    await expect(volume.run('db', wrong)).rejects.toMatchObject({ code: 'wrong-passphrase' });
    nowMs += 1000;
    expect(await volume.run('db', right)).toBe('opened');
  });

  it('of one volume are not those of another, and other errors count for nothing', async () => {
    const volumes = attempts();
    await expect(volumes.run('db', wrong)).rejects.toThrow();
    expect(await volumes.run('other', right)).toBe('opened');
    const away = () => Promise.reject(new CairnError('key-unavailable', 'Away.'));
    for (let time = 0; time < 3; time++)
      await expect(volumes.run('other', away)).rejects.toMatchObject({ code: 'key-unavailable' });
    expect(await volumes.run('other', right)).toBe('opened');
    volumes.forget('db');
    expect(await volumes.run('db', right)).toBe('opened');
  });
});
