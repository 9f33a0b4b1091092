/** How the control plane logs, whatever the sink. */
export type LogLevel = 'debug' | 'info' | 'warn' | 'error';
export type LogFields = Readonly<Record<string, string | number | boolean | null | undefined>>;
export type Log = (level: LogLevel, message: string, fields?: LogFields) => void;

/** The message of an error and of everything that caused it. */
export function causesOf(error: unknown): string {
  const messages: string[] = [];
  for (let each: unknown = error; each !== undefined && messages.length < causesMax; each = causeOf(each))
    messages.push(each instanceof Error ? each.message : JSON.stringify(each));
  return messages.join(' <- ');
}

const causesMax = 5;

function causeOf(error: unknown): unknown {
  return error instanceof Error ? error.cause : undefined;
}
