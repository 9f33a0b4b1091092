#!/usr/bin/env node
/**
 * Generates src/generated from proto/ with protoc and protoc-gen-es.
 *
 *   node scripts/generate.mjs            writes the files
 *   node scripts/generate.mjs --check    exits with 1 and names the files that are not current
 *
 * The output is committed, so that building Cairn needs no protoc.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const committed = join(root, 'src/generated');

if (process.argv.includes('--check')) check();
else generateInto(fresh(committed));

function check() {
  if (spawnSync('protoc', ['--version']).error) {
    console.log('generated code: not checked, protoc is not installed (apt-get install protobuf-compiler)');
    return;
  }
  const scratch = mkdtempSync(join(tmpdir(), 'cairn-generate-'));
  try {
    generateInto(scratch);
    const stale = differences(scratch, committed);
    for (const file of stale) console.error(`src/generated/${file} is not current: run node scripts/generate.mjs`);
    process.exitCode = stale.length === 0 ? 0 : 1;
  } finally {
    rmSync(scratch, { recursive: true });
  }
}

function generateInto(directory) {
  const plugin = join(root, 'node_modules/.bin/protoc-gen-es');
  const sources = filesBelow(join(root, 'proto')).filter((file) => file.endsWith('.proto'));
  const options = [
    `--plugin=${plugin}`,
    `--es_out=${directory}`,
    '--es_opt=target=ts,import_extension=js',
    '-I',
    'proto',
  ];
  const run = spawnSync('protoc', [...options, ...sources], { cwd: root, stdio: 'inherit' });
  if (run.error) fail(`protoc cannot be run (apt-get install protobuf-compiler): ${run.error.message}`);
  if (run.status !== 0) fail('protoc failed');
}

function fresh(directory) {
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  return directory;
}

/** Names of files that exist on one side only or whose content differs. */
function differences(left, right) {
  const names = new Set([...filesBelow(left), ...filesBelow(right)]);
  return [...names].filter((name) => contentOf(join(left, name)) !== contentOf(join(right, name))).sort();
}

function filesBelow(directory) {
  try {
    const entries = readdirSync(directory, { recursive: true, withFileTypes: true });
    return entries
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath ?? entry.path, entry.name).slice(directory.length + 1));
  } catch (error) {
    if (error.code === 'ENOENT') return [];
    throw error;
  }
}

function contentOf(file) {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  }
}

function fail(message) {
  console.error(message);
  process.exit(1);
}
