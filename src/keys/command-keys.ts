/** Passphrases that a program of the administrator's prints: for vaults and modules that Cairn does not know. */
import { spawn } from 'node:child_process';
import { CairnError } from '../errors.js';
import { passphraseBytesMax, withoutNewline, type KeyProvider } from './key-provider.js';

const timeoutMsDefault = 30_000;
/** What it says about a failure, for the error's text. */
const messageBytesMax = 1000;

interface Outcome {
  status: number | null;
  signal: string | null;
  printed: Buffer;
  message: string;
}

export class CommandKeys implements KeyProvider {
  constructor(
    /** An absolute path. It is run with the key's name as its only argument, and no shell. */
    private readonly program: string,
    private readonly timeoutMs = timeoutMsDefault,
  ) {}

  async passphraseOf(key: string): Promise<Uint8Array> {
    if (this.program === '') throw unavailable('No key command is configured. Set keys.command.');
    const { status, signal, printed, message } = await this.run(key);
    if (status === 0 && printed.length <= passphraseBytesMax) {
      const passphrase = withoutNewline(printed);
      if (passphrase.length > 0) return passphrase;
      throw unavailable(`${this.program} printed no passphrase for the key ${key}.`);
    }
    printed.fill(0);
    if (status === 0) throw unavailable(`${this.program} printed more than 8 MiB for the key ${key}.`);
    const how = signal === null ? `ended with status ${status}` : `was ended by ${signal}`;
    const said = message === '' ? '' : ` It said: ${message}`;
    throw unavailable(`${this.program} gave no passphrase for the key ${key}: it ${how}.${said}`);
  }

  private run(key: string): Promise<Outcome> {
    return new Promise((resolve, reject) => {
      // A group of its own: what it has started ends with it, and with that the pipes.
      const child = spawn(this.program, [key], { stdio: ['ignore', 'pipe', 'pipe'], detached: true });
      const end = () => endGroup(child.pid);
      const late = setTimeout(end, this.timeoutMs);
      const chunks: Buffer[] = [];
      let length = 0;
      let message = '';
      child.stdout.on('data', (chunk: Buffer) => {
        length += chunk.length;
        chunks.push(chunk);
        if (length > passphraseBytesMax) end();
      });
      child.stderr.setEncoding('utf8').on('data', (text: string) => {
        message = `${message}${text}`.slice(0, messageBytesMax);
      });
      child.on('error', (error) => {
        clearTimeout(late);
        reject(unavailable(`${this.program} cannot be run: ${error.message}.`, error));
      });
      child.on('close', (status, signal) => {
        clearTimeout(late);
        const printed = Buffer.concat(chunks);
        for (const chunk of chunks) chunk.fill(0);
        resolve({ status, signal, printed, message: message.trim().replaceAll(/\s+/g, ' ') });
      });
    });
  }
}

function endGroup(leader: number | undefined): void {
  if (leader === undefined) return;
  try {
    process.kill(-leader, 'SIGKILL');
  } catch {
    // It has ended by itself.
  }
}

function unavailable(detail: string, cause?: unknown): CairnError {
  return new CairnError('key-unavailable', detail, { cause });
}
