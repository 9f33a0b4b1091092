// `npm run tidy [FILE...]`: clang-tidy over the native sources, or those named. Minutes for all; for what one works on, seconds.
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { root, setUpNodeModules, setUpPackages } from './setup/index.mjs';
import { CommandFailed, main, run, SetupFailed, step } from './setup/steps.mjs';
import { installLine, packages } from './setup/system-packages.mjs';
import { buildNative, nativeLists } from './testing/native.mjs';

await main(async () => {
  const missing = await setUpPackages([...packages.nativeTests, ...packages.analysis]);
  if (missing.length > 0) throw new SetupFailed(`clang-tidy needs: ${installLine(missing)}`);
  await setUpNodeModules();
  await step('compile commands', (progress) => buildNative(root, 'asan', progress));
  const named = process.argv.slice(2);
  const waiting = named.length > 0 ? named : nativeLists(root).library;
  const findings = [];
  await step('clang-tidy', async (progress) => {
    const workers = Array.from({ length: availableParallelism() }, () => work(waiting, findings, progress));
    await Promise.all(workers);
    if (findings.length > 0) throw new CommandFailed('clang-tidy', 'has findings', findings.join('\n'));
  });
});

/** Takes files from `waiting` until there are none. */
async function work(waiting, findings, progress) {
  for (let file = waiting.shift(); file !== undefined; file = waiting.shift()) {
    progress(file);
    const args = ['-p', join(root, 'build/asan'), '--quiet', join(root, file)];
    const { output } = await run('clang-tidy-14', args, { cwd: root, allowFailure: true });
    if (/ (warning|error): /.test(output)) findings.push(output.trim());
  }
}
