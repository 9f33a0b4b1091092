/** The log of a data-plane process: one JSON object a line on stdout, which the service redirects to the process's file. */
import { writeSync } from 'node:fs';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';
export const logLevels: readonly LogLevel[] = ['debug', 'info', 'warn', 'error'];

export type LogFields = Readonly<Record<string, string | number | boolean | null | undefined>>;
/** How parts of the engine log, whatever the sink. */
export type Log = (level: LogLevel, message: string, fields?: LogFields) => void;

const stdout = 1;

/** Lines are written synchronously, so that the last one before an exit or a crash is not lost. */
export function processLog(process: string, lowest: LogLevel): Log {
  return (level, message, fields = {}) => {
    if (logLevels.indexOf(level) < logLevels.indexOf(lowest)) return;
    const line = JSON.stringify({ time: new Date().toISOString(), level, process, message, ...fields });
    try {
      writeSync(stdout, `${line}\n`);
    } catch {
      // A full disk or a closed pipe under the log must never cost the volumes that this process serves.
    }
  };
}
