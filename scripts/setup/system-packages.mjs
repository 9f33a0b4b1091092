// The Debian packages that building and testing need, how their absence is noticed, and how they get installed.
import { accessSync, constants, existsSync, readdirSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { run, SetupFailed } from './steps.mjs';

/**
 * A package counts as present when its file (an absolute path) or command (a bare name) is: a compiler from elsewhere is
 * as good as Debian's, and other distributions get by with the same check. A `service` that it would start is masked before:
 * tests start what they need themselves, and tgt's would take iSCSI's port.
 */
export const packages = {
  build: [
    { name: 'g++', provides: 'g++' },
    { name: 'make', provides: 'make' },
    { name: 'python3', provides: 'python3' },
    { name: 'pkg-config', provides: 'pkg-config' },
    { name: 'liburing-dev', provides: '/usr/include/liburing.h' },
    { name: 'libisal-dev', provides: '/usr/include/isa-l.h' },
    { name: 'libcryptsetup-dev', provides: '/usr/include/libcryptsetup.h' },
    { name: 'nlohmann-json3-dev', provides: '/usr/include/nlohmann/json.hpp' },
  ],
  nativeTests: [
    { name: 'cmake', provides: 'cmake' },
    { name: 'ninja-build', provides: 'ninja' },
    { name: 'libgtest-dev', provides: '/usr/include/gtest/gtest.h' },
    { name: 'libssl-dev', provides: '/usr/include/openssl/ssl.h' },
  ],
  clients: [
    { name: 'libnbd-bin', provides: 'nbdinfo' },
    { name: 'nbdkit', provides: 'nbdkit' },
    { name: 'qemu-utils', provides: 'qemu-io' },
    { name: 'qemu-block-extra', provides: '/usr/lib/x86_64-linux-gnu/qemu/block-iscsi.so' },
    { name: 'libiscsi-bin', provides: 'iscsi-test-cu' },
    { name: 'tgt', provides: 'tgtd', service: 'tgt.service' },
    { name: 'fio', provides: 'fio' },
    { name: 'e2fsprogs', provides: 'mkfs.ext4' },
    { name: 'xfsprogs', provides: 'mkfs.xfs' },
    { name: 'fuse3', provides: 'fusermount3' },
    { name: 'cryptsetup-bin', provides: 'cryptsetup' },
    { name: 'jq', provides: 'jq' },
  ],
  checks: [
    { name: 'clang-format-14', provides: 'clang-format-14' },
    { name: 'protobuf-compiler', provides: 'protoc' },
  ],
  fuzzing: [
    { name: 'clang-14', provides: 'clang++-14' },
    {
      name: 'libclang-rt-14-dev',
      provides: '/usr/lib/llvm-14/lib/clang/14.0.6/lib/linux/libclang_rt.fuzzer-x86_64.a',
    },
  ],
  analysis: [{ name: 'clang-tidy-14', provides: 'clang-tidy-14' }],
  speed: [{ name: 'ccache', provides: 'ccache' }],
};

/** Where a command is, or `null`. Administrators' folders count: Debian keeps mkfs there, outside a user's PATH. */
export function findCommand(name, path = process.env.PATH ?? '') {
  for (const directory of [...path.split(delimiter), '/usr/local/sbin', '/usr/sbin', '/sbin']) {
    const candidate = join(directory, name);
    if (directory !== '' && isExecutable(candidate)) return candidate;
  }
  return null;
}

/** Those of `wanted` that are not there. */
export function missingPackages(wanted, present = isPresent) {
  return wanted.filter((wantedPackage) => !present(wantedPackage.provides));
}

/**
 * How to install `names` here: `{ commands }` when it can be done without asking, else `{ line }` to show. `listsMissing`:
 * apt has never been updated, as in a container image. `services`: those that must not start with it.
 */
export function planInstall(names, { uid, hasApt, hasSudo, listsMissing, services = [] }) {
  const command = ['apt-get', 'install', '-y', '--no-install-recommends', ...names];
  if (!hasApt) return { line: `Install what these Debian packages hold: ${names.join(' ')}` };
  const mask = services.length > 0 ? [['systemctl', 'mask', ...services]] : [];
  if (uid !== 0 && !hasSudo) {
    const lines = [...mask, ['apt-get', 'update'], command].map((words) => `sudo ${words.join(' ')}`);
    return { line: lines.join(' && ') };
  }
  const prefix = uid === 0 ? [] : ['sudo', '-n'];
  const update = listsMissing ? [['apt-get', 'update']] : [];
  return { commands: [...mask, ...update, command].map((words) => [...prefix, ...words]) };
}

/**
 * Installs what is missing of `wanted`. Returns the packages that are still missing; throws `SetupFailed` with the exact line
 * to run when `required` and they cannot be installed.
 */
export async function ensurePackages(wanted, { required, progress = () => {} }) {
  const missing = missingPackages(wanted);
  if (missing.length === 0) return [];
  const names = missing.map((missingPackage) => missingPackage.name);
  const plan = planInstall(names, { ...(await inspectMachine()), services: servicesOf(missing) });
  if (plan.line !== undefined) {
    if (required)
      throw new SetupFailed(`System packages are missing. Run this, then the same command again:\n\n  ${plan.line}`);
    return missing;
  }
  try {
    await install(plan.commands, progress);
  } catch (error) {
    if (required) throw error;
    console.error(`\n  could not install ${names.join(' ')}: ${error.message}`);
  }
  return missingPackages(missing);
}

/** The line a person would run for `missing`, for messages. */
export function installLine(missing) {
  return `sudo apt-get install -y --no-install-recommends ${missing.map((missingPackage) => missingPackage.name).join(' ')}`;
}

async function install(commands, progress) {
  const options = {
    env: { DEBIAN_FRONTEND: 'noninteractive', APT_LISTCHANGES_FRONTEND: 'none' },
    onLine: progress,
  };
  const execute = async () => {
    for (const [command, ...args] of commands) await run(command, args, options);
  };
  try {
    await execute();
  } catch {
    // Lists that are too old name files that the mirror no longer has: refresh them once and try again.
    const [command, ...args] = commands.at(-1);
    const update = command === 'sudo' ? ['sudo', ['-n', 'apt-get', 'update']] : ['apt-get', ['update']];
    await run(...update, options);
    await run(command, args, options);
  }
}

/** Only a running systemd starts them. */
function servicesOf(wanted) {
  return existsSync('/run/systemd/system') ? wanted.flatMap(({ service }) => service ?? []) : [];
}

async function inspectMachine() {
  const uid = process.getuid?.() ?? 1;
  const sudo = uid !== 0 && findCommand('sudo') !== null;
  return {
    uid,
    hasApt: findCommand('apt-get') !== null,
    hasSudo: sudo && (await run('sudo', ['-n', 'true'], { allowFailure: true })).status === 0,
    listsMissing: !hasPackageLists(),
  };
}

function hasPackageLists(directory = '/var/lib/apt/lists') {
  return existsSync(directory) && readdirSync(directory).some((file) => /_Packages(\.\w+)?$/.test(file));
}

function isPresent(provides) {
  return provides.startsWith('/') ? existsSync(provides) : findCommand(provides) !== null;
}

function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
