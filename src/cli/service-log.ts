/** The log of `cairn serve`: on a terminal a line to read, else one JSON object a line. */
import { processLog, logLevels, type Log, type LogFields, type LogLevel } from '../engine/process-log.js';

export function serviceLog(lowest: LogLevel): Log {
  return process.stdout.isTTY ? terminalLog(lowest) : processLog('serve', lowest);
}

function terminalLog(lowest: LogLevel): Log {
  return (level, message, fields = {}) => {
    if (logLevels.indexOf(level) < logLevels.indexOf(lowest)) return;
    const time = new Date().toTimeString().slice(0, 8);
    process.stdout.write(`${time} ${level.padEnd(5)} ${message}${textOf(fields)}\n`);
  };
}

function textOf(fields: LogFields): string {
  const known = Object.entries(fields).filter(([, value]) => value !== undefined && value !== null);
  return known.map(([name, value]) => ` ${name}=${typeof value === 'string' ? quoted(value) : value}`).join('');
}

function quoted(value: string): string {
  return /[\s"]/.test(value) ? JSON.stringify(value) : value;
}
