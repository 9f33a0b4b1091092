import { describe, expect, it } from 'vitest';
import { compilers, headersOption } from '../../scripts/setup/addon.mjs';

describe('headersOption', () => {
  it("uses the headers of Node's own prefix", () => {
    const exists = (path) => path === '/opt/node/include/node/node_api.h';
    expect(headersOption('/opt/node/bin/node', exists)).toEqual(['--nodedir=/opt/node']);
  });

  it('lets node-gyp fetch them otherwise', () => {
    expect(headersOption('/usr/bin/node', () => false)).toEqual([]);
  });
});

describe('compilers', () => {
  it('go through ccache when it is there', () => {
    expect(compilers({}, '/usr/bin/ccache')).toEqual({ CC: 'ccache gcc', CXX: 'ccache g++' });
  });

  it('are those of the environment when it names one', () => {
    expect(compilers({ CXX: 'clang++' }, '/usr/bin/ccache')).toEqual({});
  });
});
