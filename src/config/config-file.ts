/** The YAML file of settings: keys checked, each value with the line it stands in. */
import { readFileSync } from 'node:fs';
import { LineCounter, isMap, isNode, isScalar, parseDocument, type Node, type Pair } from 'yaml';
import { CairnError } from '../errors.js';
import { nearest } from './edit-distance.js';
import { settings } from './schema.js';

export interface FileValue {
  value: unknown;
  line: number;
}

/** Values by key. A file that must not exist (`isRequired` false) may be missing. */
export function readConfigFile(path: string, isRequired: boolean): Map<string, FileValue> {
  const text = textOf(path, isRequired);
  return text === undefined ? new Map() : parseConfig(text, path);
}

export function parseConfig(text: string, path: string): Map<string, FileValue> {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const [error] = document.errors;
  if (error) throw wrong(path, lines.linePos(error.pos[0]).line, `${error.message}.`);
  const reader = new SectionReader(path, lines);
  if (document.contents !== null) reader.readSection(document.contents, '');
  return reader.values;
}

class SectionReader {
  readonly values = new Map<string, FileValue>();

  constructor(
    private readonly path: string,
    private readonly lines: LineCounter,
  ) {}

  readSection(node: Node, prefix: string): void {
    if (isScalar(node) && node.value === null) return; // a section that is empty, or wholly commented out
    if (!isMap(node)) {
      const section = prefix === '' ? 'The file' : prefix.slice(0, -1);
      throw wrong(this.path, this.lineOf(node), `${section} must hold keys: ${keysBelow(prefix).join(', ')}.`);
    }
    for (const pair of node.items) this.readPair(pair, prefix);
  }

  private readPair(pair: Pair, prefix: string): void {
    const name = isScalar(pair.key) ? String(pair.key.value) : '';
    const key = `${prefix}${name}`;
    const line = isNode(pair.key) ? this.lineOf(pair.key) : 1;
    if (settings.some((setting) => setting.key === key)) this.values.set(key, { value: plain(pair.value), line });
    else if (keysBelow(`${key}.`).length > 0 && isNode(pair.value)) this.readSection(pair.value, `${key}.`);
    else throw wrong(this.path, line, `Unknown key ${key}. ${suggestion(key)}`);
  }

  private lineOf(node: Node): number {
    return this.lines.linePos(node.range?.[0] ?? 0).line;
  }
}

function suggestion(key: string): string {
  const near = nearest(key, settings.map((setting) => setting.key)); // prettier-ignore
  return `Did you mean ${near?.name}?`;
}

function keysBelow(prefix: string): string[] {
  return settings.map(({ key }) => key).filter((key) => key.startsWith(prefix));
}

function plain(value: unknown): unknown {
  return isNode(value) ? (value.toJSON() as unknown) : value;
}

function textOf(path: string, isRequired: boolean): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' && !isRequired) return undefined;
    throw new CairnError('invalid-config', `The configuration file ${path} cannot be read: ${message}.`, {
      cause: error,
    });
  }
}

function wrong(path: string, line: number, what: string): CairnError {
  return new CairnError('invalid-config', `${path}, line ${line}: ${what}`);
}
