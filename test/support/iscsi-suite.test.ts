import { describe, expect, it } from 'vitest';
import { parseSuite } from './iscsi-suite.js';

/** As iscsi-test-cu 1.19 prints it. */
function outputOf(tests: string, counts = '4      4      3      1        0'): string {
  return `

     CUnit - A unit testing framework for C - Version 2.1-3
     http://cunit.sourceforge.net/


Suite: Read10
  Test: Simple ...passed
${tests}
Run Summary:    Type  Total    Ran Passed Failed Inactive
              suites      2      2    n/a      0        0
               tests      ${counts}
             asserts  67003  67003  62992   4011      n/a

Elapsed time =    5.122 seconds
Tests completed with return value: 0
`;
}

const tests = `  Test: BeyondEol ...    [SKIPPED] LUN is too big for read-beyond-eol tests with READ10. Skipping test.
passed
Suite: Reserve6
  Test: 2Initiators ...    Take out a RESERVE6 from the first initiator
    [FAILED] MODESENSE6 successful but should have failed with NO SENSE(0x00)/NO ASCQ(0x0000)
    RELEASE6 from the second initiator
FAILED
    1. test_reserve6_2initiators.c:70  - CU_ASSERT_EQUAL(_r,0)
  Test: LUNReset ...passed    [FAILED] PRIN command: failed with sense. SENSE KEY:UNIT_ATTENTION(6) ASCQ:BUS_RESET(0x2900)

`;

describe('parseSuite', () => {
  it('tells what passed, failed and was skipped, also among what tests say in between', () => {
    const outcomes = parseSuite(outputOf(tests)).map(({ name, outcome }) => [name, outcome]);
    expect(outcomes).toEqual([
      ['Read10.Simple', 'passed'],
      ['Read10.BeyondEol', 'skipped'],
      ['Reserve6.2Initiators', 'failed'],
      ['Reserve6.LUNReset', 'passed'],
    ]);
  });

  it('keeps what a test said', () => {
    const [, skipped] = parseSuite(outputOf(tests));
    expect(skipped?.notes).toEqual(['[SKIPPED] LUN is too big for read-beyond-eol tests with READ10. Skipping test.']);
  });

  it('takes a failure for one, whatever else was skipped', () => {
    const both = `  Test: Both ...    [SKIPPED] a part\nFAILED\n    1. a.c:1  - CU_ASSERT_EQUAL(a,0)\n`;
    const [, test] = parseSuite(outputOf(both, '2      2      1      1        0'));
    expect(test?.outcome).toBe('failed');
  });

  it.each([
    ['a run that ended early', outputOf(tests).split('Run Summary')[0] ?? ''],
    ['a summary with other counts', outputOf(tests, '5      5      4      1        0')],
    ['a test without an outcome', outputOf('  Test: Lost ...\n', '2      2      2      0        0')],
  ])('refuses %s', (_, output) => {
    expect(() => parseSuite(output)).toThrow();
  });
});
