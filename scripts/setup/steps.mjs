// Progress on the terminal and running commands: one line a step with its time, output only when a step fails.
import { spawn } from 'node:child_process';

const titleWidth = 26;
const outputLinesMax = 200;

/** A command ended with another status than 0, or could not be started. `output` is what it printed. */
export class CommandFailed extends Error {
  constructor(command, status, output) {
    super(`${command} ${status}`);
    this.output = output;
  }
}

/** What went wrong in words for the person at the terminal; printed without a stack. */
export class SetupFailed extends Error {}

/**
 * Runs `work(progress)` as one line of progress. `work` may return a short note ("up to date") for the line's end.
 * On a terminal `progress(text)` shows what it is busy with.
 */
export async function step(title, work) {
  const started = performance.now();
  const live = process.stdout.isTTY === true;
  const head = `  ${title.padEnd(titleWidth)}`;
  process.stdout.write(live ? head : `${head}...`);
  try {
    const note = await work((text) => live && process.stdout.write(`\r\x1b[K${head}${clip(text)}`));
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    process.stdout.write(`${live ? `\r\x1b[K${head}` : ' '}${[`${seconds} s`, note].filter(Boolean).join('  ')}\n`);
  } catch (error) {
    process.stdout.write(`${live ? `\r\x1b[K${head}` : ' '}failed\n`);
    throw error;
  }
}

/**
 * Runs a command to its end and returns what it printed (both streams). Throws `CommandFailed` on a status other than 0
 * unless `allowFailure` is set. `onLine` sees every line as it comes; `timeoutMs` ends the command with SIGKILL.
 */
export async function run(command, args, { env, cwd, onLine, timeoutMs, allowFailure = false } = {}) {
  const child = spawn(command, args, {
    cwd,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: timeoutMs,
    killSignal: 'SIGKILL',
  });
  let output = '';
  const take = eachLine(onLine);
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text) => {
      output += text;
      take(text);
    });
  }
  const status = await new Promise((resolve) => {
    child.once('error', (error) => resolve(error.code === 'ENOENT' ? 'is not installed' : error.message));
    child.once('close', (code, signal) => resolve(code ?? signal));
  });
  if (status !== 0 && !allowFailure) throw new CommandFailed(shown(command, args), describeStatus(status), output);
  return { status, output };
}

/** Runs a script's main function; a failure is told in words and ends the process with status 1. */
export async function main(work) {
  try {
    await work();
  } catch (error) {
    if (error instanceof CommandFailed) {
      const lines = error.output.trimEnd().split('\n');
      console.error(lines.slice(-outputLinesMax).join('\n'));
      console.error(`\n${error.message}`);
    } else if (error instanceof SetupFailed) {
      console.error(`\n${error.message}`);
    } else {
      console.error(error);
    }
    process.exitCode = 1;
  }
}

function eachLine(onLine) {
  if (!onLine) return () => {};
  let rest = '';
  return (text) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) onLine(line);
  };
}

function describeStatus(status) {
  if (typeof status === 'number') return `ended with status ${status}`;
  return status.startsWith('SIG') ? `was ended by ${status}` : status;
}

function shown(command, args) {
  const text = [command, ...args].join(' ');
  return text.length > 200 ? `${text.slice(0, 200)} ...` : text;
}

function clip(text) {
  const room = Math.max(20, (process.stdout.columns ?? 80) - titleWidth - 4);
  return text.length > room ? `${text.slice(0, room - 1)}…` : text;
}
