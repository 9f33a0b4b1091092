/** How fast is the cipher of encrypted volumes on one core, beside what else can be linked and `openssl speed`? */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isInstalled, run } from './support/command.js';
import { ratioOf } from './support/growth-lines.js';
import type { Chart, GrowthQuestion, GrowthResult, Line, Verdict } from './support/growth.js';
import type { Plan } from './support/rounds.js';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const library = ['sector_cipher.cc', 'xts_aes_ni.cc', 'xts_vaes.cc'].map((name) => `native/dmcrypt/${name}`);
const sources = ['bench/native/cipher_speed.cc', ...library, ...['assert', 'secure_memory', 'status'].map(baseSource)];
/** As the addon is compiled. */
const flags = ['-O3', '-std=gnu++20', '-march=x86-64-v2', '-fstack-protector-strong', '-DNDEBUG'];
/** Cairn's fastest path beside the fastest of the others. */
const ratioMin = 0.9;

interface Speed {
  name: string;
  direction: 'encrypt' | 'decrypt';
  sector: number;
  buffer: number;
  mbps: number;
}

export const question: GrowthQuestion = {
  name: 'cipher',
  title: 'AES-256-XTS on one core, by size of what is encrypted at once',
  only: [],
  measure,
};

async function measure(plan: Plan): Promise<GrowthResult> {
  const program = join(plan.ground.dataDirectory, 'cipher-speed');
  const hasGcrypt = existsSync('/usr/include/gcrypt.h');
  const libraries = ['-lcrypto', ...(hasGcrypt ? ['-DCAIRN_BENCH_GCRYPT', '-lgcrypt'] : [])];
  const paths = sources.map((source) => join(root, source));
  await run('g++', [...flags, `-I${join(root, 'native')}`, ...paths, ...libraries, '-o', program]);
  const rounds: Speed[][] = [];
  for (let round = 1; round <= plan.rounds; round += 1) {
    plan.progress(`cipher, round ${round} of ${plan.rounds}`);
    rounds.push(JSON.parse(await run(program, [String(plan.seconds * 2)])) as Speed[]);
  }
  const speeds = rounds.flat();
  const charts = [4096, 512].flatMap((sector) =>
    (['encrypt', 'decrypt'] as const).map((direction) => chartOf(speeds, sector, direction)),
  );
  const notes = [
    ...(hasGcrypt ? [] : ['libgcrypt takes no part: its headers (package libgcrypt20-dev) are not installed.']),
    ...(await opensslSpeed()),
  ];
  return { charts, verdicts: charts.slice(0, 2).flatMap(verdictsOf), notes };
}

function baseSource(name: string): string {
  return `native/base/${name}.cc`;
}

function chartOf(speeds: readonly Speed[], sector: number, direction: Speed['direction']): Chart {
  const alike = speeds.filter((speed) => speed.sector === sector && speed.direction === direction);
  const names = [...new Set(alike.map(({ name }) => name))];
  const lines = names.map((name): Line => {
    const own = alike.filter((speed) => speed.name === name);
    const buffers = [...new Set(own.map(({ buffer }) => buffer))];
    const points = buffers.map((at) => ({
      at,
      samples: own.filter(({ buffer }) => buffer === at).map(({ mbps }) => mbps),
    }));
    return { name, points };
  });
  const title = `${direction === 'encrypt' ? 'Encryption' : 'Decryption'}, sectors of ${sector} bytes`;
  return { title, axis: 'at once', label: (at) => `${at / 1024} KiB`, unit: 'MB/s', lines };
}

/** At each size: the fastest of ours beside the fastest of the others. */
function verdictsOf({ title, lines, label = String }: Chart): Verdict[] {
  const [mine, others] = [true, false].map((isOurs) => lines.filter(({ name }) => name.startsWith('cairn') === isOurs));
  const places = lines[0]?.points.map(({ at }) => at) ?? [];
  return places.map((at) => {
    const samplesOf = ({ points }: Line) => points.find((point) => point.at === at)?.samples;
    const ratios = (mine ?? []).map((line) =>
      Math.min(...(others ?? []).map((other) => ratioOf(samplesOf(line), samplesOf(other)))),
    );
    const asked = `${title.toLowerCase()}, ${label(at)}, of the fastest other`;
    return { asked, measured: Math.max(...ratios), unit: '', least: ratioMin };
  });
}

async function opensslSpeed(): Promise<string[]> {
  if (!isInstalled('openssl')) return [];
  const said = await run('openssl', ['speed', '-evp', 'aes-256-xts', '-bytes', '4096', '-seconds', '2']);
  const line = said.split('\n').find((each) => each.startsWith('AES-256-XTS'));
  const [processor = 'unknown'] = /model name\s*: (.*)/.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.slice(1) ?? [];
  return line === undefined
    ? []
    : [`openssl speed, 4096 bytes: ${line.replaceAll(/\s+/g, ' ')}. Processor: ${processor}.`];
}
