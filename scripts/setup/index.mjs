// All set-up that the commands share: from a fresh clone to something that runs, and nothing when nothing changed.
import { fileURLToPath } from 'node:url';
import { ensureAddon } from './addon.mjs';
import { ensureNodeModules } from './node-modules.mjs';
import { SetupFailed, step } from './steps.mjs';
import { ensurePackages, installLine, packages } from './system-packages.mjs';
import { ensureCompiled } from './typescript.mjs';

export const root = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');

/** The packages without which nothing can be built, then those in `wanted`, of which what cannot be installed is returned. */
export async function setUpPackages(wanted = []) {
  requireNode();
  let missing = [];
  await step('system packages', async (progress) => {
    await ensurePackages(packages.build, { required: true, progress });
    missing = await ensurePackages(wanted, { required: false, progress });
    return missing.length === 0 ? undefined : `without ${missing.map((absent) => absent.name).join(' ')}`;
  });
  if (missing.length > 0) console.log(`  To have everything: ${installLine(missing)}`);
  return missing;
}

export async function setUpNodeModules() {
  await step('node modules', (progress) => ensureNodeModules(root, progress));
}

/** The addon and dist/. */
export async function setUpBuild() {
  await step('native addon', (progress) => ensureAddon(root, progress));
  await step('TypeScript', () => ensureCompiled(root));
}

function requireNode() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (process.platform !== 'linux')
    throw new SetupFailed('Cairn runs on Linux only: its data path is built on io_uring.');
  if (major < 20 || (major === 20 && minor < 11))
    throw new SetupFailed(`Node 20.11 or newer is needed, this is ${process.version}.`);
}
