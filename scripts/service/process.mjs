// The service as a child process: started apart from the terminal's signals, ended by SIGTERM.
import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { SetupFailed } from '../setup/steps.mjs';

const readyTimeoutMs = 30_000;
const readyPollMs = 50;
const stopTimeoutMs = 60_000;
const logLinesShown = 20;

export class ServiceProcess {
  #child;
  #ended;

  /** `settings`: the CAIRN_... variables. What the service prints goes to `log`. */
  constructor(root, settings, log) {
    this.log = log;
    this.restUrl = `http://127.0.0.1:${settings.CAIRN_REST_PORT}`;
    mkdirSync(dirname(log), { recursive: true });
    const output = openSync(log, 'w');
    // Its own process group: Ctrl-C reaches this script alone, which then ends both processes in order.
    this.#child = spawn(process.execPath, [join(root, 'dist/cli/main.js'), 'serve', '--with-data-plane'], {
      env: { ...process.env, ...settings },
      stdio: ['ignore', output, output],
      detached: true,
    });
    closeSync(output);
    this.#ended = new Promise((resolve) => {
      this.#child.once('error', (error) => resolve(error.message));
      this.#child.once('exit', (code, signal) => resolve(signal ?? code));
    });
  }

  /** Resolves with the exit code or the signal's name. */
  get ended() {
    return this.#ended;
  }

  /** Resolves when /readyz says so; throws `SetupFailed` with the end of the log if that never happens. */
  async ready() {
    const deadline = Date.now() + readyTimeoutMs;
    while (Date.now() < deadline) {
      if (this.#hasEnded()) throw this.failure(`The service ended with ${await this.#ended} before it was ready`);
      if (await this.#answersReady()) return;
      await delay(readyPollMs);
    }
    throw this.failure(`The service was not ready within ${readyTimeoutMs / 1000} s`);
  }

  failure(what) {
    return new SetupFailed(`${what}. The end of ${this.log}:\n\n${this.logTail()}`);
  }

  logTail() {
    return readFileSync(this.log, 'utf8').trimEnd().split('\n').slice(-logLinesShown).join('\n');
  }

  /** Ends the service, and the data plane with it. Resolves with its exit code or the signal that ended it. */
  async stop() {
    this.#child.kill('SIGTERM');
    const timeout = new AbortController();
    const late = delay(stopTimeoutMs, 'late', { signal: timeout.signal }).catch(() => 'stopped');
    const status = await Promise.race([this.#ended, late]);
    timeout.abort();
    if (status !== 'late') return status;
    this.#child.kill('SIGKILL');
    return this.#ended;
  }

  #hasEnded() {
    return this.#child.pid === undefined || this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  async #answersReady() {
    try {
      const response = await fetch(`${this.restUrl}/readyz`);
      await response.arrayBuffer();
      return response.ok;
    } catch {
      return false;
    }
  }
}
