/** Flame graphs: on what a server's threads spend their time, from the stacks that perf samples. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { isInstalled, run } from './command.js';
import { svgDocument, text } from './svg.js';

/** Of one CPU a second; a prime, so that nothing periodic is always or never met. */
const samplesPerSecond = 997;
const width = 1200;
const rowHeight = 16;
const top = 44;
/** Narrower ones are not drawn. */
const shareMin = 0.0008;
const characterWidth = 6;
/** On x86-64 the kernel has the upper half of the addresses. */
const kernelAddress = /^f[0-9a-f]{15}$/;

/** A function in one place of the stacks, and how many samples it and what it called were in. */
export interface Frame {
  name: string;
  isKernel: boolean;
  samples: number;
  callees: Map<string, Frame>;
}

export function whyNoFlameGraph(): string | null {
  return isInstalled('perf') ? null : 'perf is not installed: apt-get install linux-perf';
}

/** The stacks of these processes while `work` runs. */
export async function sampleStacks(
  pids: readonly number[],
  directory: string,
  work: () => Promise<void>,
): Promise<Frame> {
  const path = join(directory, 'perf.data');
  const clock = ['--event=cpu-clock', `--freq=${samplesPerSecond}`, '--call-graph=fp'];
  const perf = spawn('perf', ['record', '--quiet', ...clock, `--pid=${pids.join(',')}`, `--output=${path}`], {
    stdio: 'ignore',
  });
  const ended = once(perf, 'exit');
  try {
    await work();
  } finally {
    perf.kill('SIGINT');
    await ended;
  }
  return foldStacks(await run('perf', ['script', `--input=${path}`, '--fields=comm,ip,sym']));
}

/** What `perf script` prints with the fields comm, ip and sym: a thread's name, then its stack, the innermost first. */
export function foldStacks(printed: string): Frame {
  const root = frame('all', false);
  for (const sample of printed.split('\n\n')) {
    const [thread = '', ...lines] = sample.split('\n').filter((line) => line.trim() !== '');
    if (thread === '') continue;
    const stack = lines.map((line) => {
      const [address = '', ...name] = line.trim().split(' ');
      return { name: shortened(name.join(' ')), isKernel: kernelAddress.test(address) };
    });
    add(root, [{ name: thread.trim(), isKernel: false }, ...stack.toReversed()]);
  }
  return root;
}

function frame(name: string, isKernel: boolean): Frame {
  return { name, isKernel, samples: 0, callees: new Map() };
}

/** Without what it takes, and without the lambdas' and templates' inner names. */
function shortened(name: string): string {
  const plain = name.replace(/\(.*$/, '').replaceAll(/<[^<>]*>/g, '');
  return plain === '' ? name : plain;
}

function add(root: Frame, stack: readonly { name: string; isKernel: boolean }[]): void {
  root.samples += 1;
  let at = root;
  for (const { name, isKernel } of stack) {
    const callee = at.callees.get(name) ?? frame(name, isKernel);
    at.callees.set(name, callee);
    callee.samples += 1;
    at = callee;
  }
}

/** Rows from the thread above to the innermost function below; width is the share of the samples. */
export function flameGraph(title: string, root: Frame): string {
  const rows: string[] = [];
  let depthMax = 0;
  const draw = (each: Frame, left: number, depth: number): void => {
    const share = each.samples / root.samples;
    if (share < shareMin) return;
    depthMax = Math.max(depthMax, depth);
    rows.push(...rowOf(each, { x: left * width, y: top + depth * rowHeight, wide: share * width, share }));
    let at = left;
    for (const callee of [...each.callees.values()].sort((a, b) => b.samples - a.samples)) {
      draw(callee, at, depth + 1);
      at += callee.samples / root.samples;
    }
  };
  if (root.samples > 0) draw(root, 0, 0);
  const legend = `${root.samples.toLocaleString('en-US')} samples; blue: Cairn and its libraries, grey: the kernel`;
  const heading = [text(8, 18, title, { size: 15, weight: 600 }), text(8, 35, legend, { className: 'faint' })];
  return svgDocument(width, top + (depthMax + 1) * rowHeight + 8, [...heading, ...rows]);
}

interface Place {
  x: number;
  y: number;
  wide: number;
  share: number;
}

function rowOf({ name, isKernel }: Frame, { x, y, wide, share }: Place): string[] {
  const about = `${name}, ${(share * 100).toFixed(1)} %`;
  const tip = `<title>${about.replaceAll('&', '&amp;').replaceAll('<', '&lt;')}</title>`;
  const box = `<rect class="${isKernel ? 'limit' : 'ours'}" x="${x.toFixed(1)}" y="${y}" width="${Math.max(wide - 0.5, 0.3).toFixed(1)}" height="${rowHeight - 1}">${tip}</rect>`;
  const characters = Math.floor(wide / characterWidth) - 1;
  if (characters < 4) return [box];
  const shown = name.length > characters ? `${name.slice(0, characters - 1)}…` : name;
  const label = text(x + 3, y + 11.5, shown, { size: 10, className: isKernel ? 'ink' : 'page' });
  return [box, label];
}
