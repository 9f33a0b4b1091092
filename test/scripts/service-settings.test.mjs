import { describe, expect, it } from 'vitest';
import { runDirectoryFor, serviceSettings } from '../../scripts/service/settings.mjs';

describe('runDirectoryFor', () => {
  const directoryOf = (bytes) => `/${'d'.repeat(bytes - '/run'.length - 1)}`;

  it.each([
    [46, true],
    [47, true],
    [48, false],
  ])('with a path of %i bytes: beside the data is %s', (bytes, beside) => {
    const directory = directoryOf(bytes);
    expect(runDirectoryFor(directory, {}, '/tmp') === `${directory}/run`).toBe(beside);
  });

  it('differs between two clones that are both too deep', () => {
    const [one, other] = [`${directoryOf(80)}1`, `${directoryOf(80)}2`];
    expect(runDirectoryFor(one, {}, '/tmp')).not.toBe(runDirectoryFor(other, {}, '/tmp'));
    expect(runDirectoryFor(one, { XDG_RUNTIME_DIR: '/run/user/1000' })).toMatch(
      /^\/run\/user\/1000\/cairn-[0-9a-f]{8}$/,
    );
  });
});

describe('serviceSettings', () => {
  it('lets the environment win', () => {
    const settings = serviceSettings('/cairn', { CAIRN_REST_PORT: '1234' });
    expect(settings).toMatchObject({
      CAIRN_REST_PORT: '1234',
      CAIRN_NBD_PORT: '10809',
      CAIRN_DATA_DIRECTORY: '/cairn/.cairn',
    });
  });
});
