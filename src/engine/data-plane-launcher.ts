/** Starts data-plane processes that live on without whoever started them. */
import { spawn } from 'node:child_process';
import { closeSync, fstatSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { CairnError, catalogued, isErrorCode } from '../errors.js';
import type { DataPlaneOptions } from './native.js';
import type { LogLevel } from './process-log.js';

export interface LauncherOptions {
  runDirectory: string;
  /** Gets `data-plane-ID.log` with the output of each process. */
  logDirectory: string;
  logLevel: LogLevel;
  dataPlane: DataPlaneOptions;
  /** What runs the `cairn` command: program and first arguments. */
  command?: readonly string[];
  /** Of the processes; the service's own by default. */
  environment?: NodeJS.ProcessEnv;
}

export interface Exit {
  code: number | null;
  signal: NodeJS.Signals | null;
}

export interface LaunchedProcess {
  pid: number;
  exited: Promise<Exit>;
  /** Why it ended, from what it logged last. */
  failure(exit: Exit): CairnError;
}

const mebibyte = 1024 * 1024;

export class DataPlaneLauncher {
  constructor(private readonly options: LauncherOptions) {}

  /** Starts the process in a session of its own, so that neither a terminal's Ctrl-C nor the service's death reaches it. */
  launch(id: string): LaunchedProcess {
    mkdirSync(this.options.logDirectory, { recursive: true, mode: 0o700 });
    const logPath = join(this.options.logDirectory, `data-plane-${id}.log`);
    const log = openSync(logPath, 'a', 0o600);
    try {
      const logStart = fstatSync(log).size;
      const [program, ...leading] = this.options.command ?? thisCairn();
      if (program === undefined) throw new CairnError('internal', 'The command that runs cairn is empty.');
      const child = spawn(program, [...leading, ...this.arguments(id)], {
        detached: true,
        env: this.options.environment ?? process.env,
        stdio: ['ignore', log, log],
      });
      const exited = new Promise<Exit>((resolve, reject) => {
        child.once('exit', (code, signal) => resolve({ code, signal }));
        child.once('error', reject);
      });
      exited.catch(() => {}); // whoever waits for the start hears of it; nobody may be waiting later
      child.unref();
      return { pid: child.pid ?? 0, exited, failure: (exit) => failureFrom(id, exit, logPath, logStart) };
    } finally {
      closeSync(log);
    }
  }

  private arguments(id: string): string[] {
    const { runDirectory, logLevel, dataPlane } = this.options;
    const bufferMiB = String(Math.max(1, Math.round(dataPlane.bufferBytes / mebibyte)));
    const general = ['data-plane', id, '--run-directory', runDirectory, '--log-level', logLevel];
    const { reactors, connectionsMax, negotiationsMax, iscsi } = dataPlane;
    const nbdLimits = ['--connections-max', String(connectionsMax), '--negotiations-max', String(negotiationsMax)];
    const iscsiLimits = [
      '--iscsi-connections-max',
      String(iscsi.connectionsMax),
      '--iscsi-logins-max',
      String(iscsi.loginsMax),
    ];
    return [...general, '--reactors', String(reactors), '--buffer-mib', bufferMiB, ...nbdLimits, ...iscsiLimits];
  }
}

/** The `cairn` that runs now: the same Node with the same loaders, built or from source. */
function thisCairn(): string[] {
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  const main = fileURLToPath(new URL(`../cli/main.${extension}`, import.meta.url));
  return [process.execPath, ...process.execArgv, main];
}

function failureFrom(id: string, exit: Exit, logPath: string, logStart: number): CairnError {
  const last = lastErrorIn(readFileSync(logPath).subarray(logStart).toString());
  if (last && isErrorCode(last.code)) return new CairnError(last.code, last.message);
  const how = exit.signal === null ? `with exit code ${exit.code}` : `by ${exit.signal}`;
  return catalogued('data-plane-unavailable', `Data-plane process ${id} ended ${how} at its start; see ${logPath}.`);
}

function lastErrorIn(log: string): { code: unknown; message: string } | undefined {
  for (const line of log.split('\n').toReversed()) {
    const entry = parsed(line);
    if (entry?.['level'] === 'error') return { code: entry['code'], message: String(entry['message']) };
  }
  return undefined;
}

function parsed(line: string): Record<string, unknown> | undefined {
  try {
    return JSON.parse(line) as Record<string, unknown>;
  } catch {
    return undefined; // Node itself writes plain text to the same file
  }
}
