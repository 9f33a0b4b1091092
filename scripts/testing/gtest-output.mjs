// Reads what a gtest binary prints. The text, not its JSON report: the report is not written when a sanitizer ends the process.

/** Counts of one run and the output of the tests that did not pass. `status` is the process's exit status. */
export function parseGtest(output, status) {
  const result = { passed: 0, failed: 0, skipped: [] };
  const failures = [];
  let running = null;
  let said = [];
  for (const line of output.split('\n')) {
    const [, mark, name] = /^\[\s*(RUN|OK|FAILED|SKIPPED)\s*\] (\S+?)(?:,.*)?(?: \(\d+ ms\))?$/.exec(line) ?? [];
    if (mark === 'RUN') {
      running = name;
      said = [];
    } else if (mark !== undefined && running === name) {
      if (mark === 'OK') result.passed += 1;
      if (mark === 'SKIPPED') result.skipped.push({ name, reason: reasonOf(said) });
      if (mark === 'FAILED') {
        result.failed += 1;
        failures.push(`${name}\n${said.join('\n')}`);
      }
      running = null;
      said = [];
    } else {
      said.push(line);
    }
  }
  if (running !== null) {
    result.failed += 1;
    failures.push(`${running} ended the process (${status})\n${said.join('\n')}`);
  } else if (status !== 0 && result.failed === 0) {
    result.failed += 1;
    failures.push(`the process ended with ${status} after its last test\n${said.join('\n')}`);
  }
  return { ...result, failures };
}

/** gtest prints "FILE:LINE: Skipped" and the message on the lines after it. */
function reasonOf(lines) {
  const at = lines.findIndex((line) => line.endsWith(': Skipped'));
  const message = lines.slice(at + 1).filter((line) => line.trim() !== '');
  return message.join(' ') || 'no reason given';
}
