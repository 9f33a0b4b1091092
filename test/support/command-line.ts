/** Runs the `cairn` command line in this process. */
import { vi } from 'vitest';
import { runCommandLine } from '../../src/cli/command-line.js';

export interface CommandResult {
  exitCode: number;
  stdout: string;
  stderr: string;
}

/** `line` is split at blanks. CAIRN_ variables of whoever runs the tests do not count. */
export async function cairn(line: string): Promise<CommandResult> {
  const result = { exitCode: 0, stdout: '', stderr: '' };
  const writers = (['stdout', 'stderr'] as const).map((stream) =>
    vi.spyOn(process[stream], 'write').mockImplementation((text) => {
      result[stream] += String(text);
      return true;
    }),
  );
  for (const name of Object.keys(process.env)) if (name.startsWith('CAIRN_')) vi.stubEnv(name, undefined);
  try {
    const words = line.split(' ').filter((word) => word !== '');
    result.exitCode = await runCommandLine([process.execPath, 'cairn', ...words]);
  } finally {
    for (const writer of writers) writer.mockRestore();
    vi.unstubAllEnvs();
  }
  return result;
}
