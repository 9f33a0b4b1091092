import { describe, expect, it } from 'vitest';
import { parseGtest } from '../../scripts/testing/gtest-output.mjs';

const passed = '[ RUN      ] Ring.Posts\n[       OK ] Ring.Posts (3 ms)\n';
const failed = '[ RUN      ] Ring.Stops\nring_test.cc:7: Failure\n[  FAILED  ] Ring.Stops (0 ms)\n';
const summary = '[==========] 2 tests ran.\n[  FAILED  ] 1 test, listed below:\n[  FAILED  ] Ring.Stops\n';

describe('parseGtest', () => {
  it('counts each test once, whatever the summary repeats', () => {
    const result = parseGtest(passed + failed + summary, 1);
    expect(result).toMatchObject({ passed: 1, failed: 1, skipped: [] });
    expect(result.failures).toEqual(['Ring.Stops\nring_test.cc:7: Failure']);
  });

  it('counts a parameterised test', () => {
    const text = '[ RUN      ] Sizes/Ring.Reads/2\n[  FAILED  ] Sizes/Ring.Reads/2, where GetParam() = 512 (1 ms)\n';
    expect(parseGtest(text, 1)).toMatchObject({ passed: 0, failed: 1 });
  });

  it('keeps the reason of a skip', () => {
    const text = '[ RUN      ] Ring.Uses\nring_test.cc:9: Skipped\nno io_uring here\n\n[  SKIPPED ] Ring.Uses (0 ms)\n';
    expect(parseGtest(text, 0).skipped).toEqual([{ name: 'Ring.Uses', reason: 'no io_uring here' }]);
  });

  it('counts the test that a sanitizer ended as failed', () => {
    const result = parseGtest(`${passed}[ RUN      ] Ring.Leaks\nERROR: AddressSanitizer\n`, 1);
    expect(result).toMatchObject({ passed: 1, failed: 1 });
    expect(result.failures[0]).toContain('AddressSanitizer');
  });

  it('counts a leak found after the last test as one failure', () => {
    expect(parseGtest(`${passed}ERROR: LeakSanitizer\n`, 1)).toMatchObject({ passed: 1, failed: 1 });
  });
});
