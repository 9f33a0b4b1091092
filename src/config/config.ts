/** The settings in force: flag before variable before file before default. */
import { dirname, join, resolve } from 'node:path';
import type { TSchema } from 'typebox';
import { Value } from 'typebox/value';
import { CairnError } from '../errors.js';
import { readConfigFile, type FileValue } from './config-file.js';
import { nearest } from './edit-distance.js';
import { settings, type Config, type ConfigValue, type Setting } from './schema.js';

export const defaultConfigFile = '/etc/cairn/cairn.yaml';

/** Variables of Cairn that are no settings of the service. */
const otherVariables = ['CAIRN_CONFIG', 'CAIRN_SERVER', 'CAIRN_NATIVE_MODULE'];
/** An unknown variable this near to a known one is a mistake; others may be somebody else's. */
const mistypedDistanceMax = 2;

export interface ConfigSources {
  /** From `--config`; else CAIRN_CONFIG, else the default file if there is one. */
  file?: string | undefined;
  environment: NodeJS.ProcessEnv;
  /** Text by key, as given on the command line. */
  flags: Readonly<Record<string, string | undefined>>;
}

/** A value and where it came from: `default`, `flag --x`, `variable CAIRN_X` or `FILE, line N`. */
export interface ConfigEntry {
  key: string;
  value: ConfigValue;
  origin: string;
}

export interface LoadedConfig {
  config: Config;
  entries: ConfigEntry[];
}

interface Candidate {
  value: unknown;
  origin: string;
  /** Relative paths are relative to this. */
  base: string;
}

/** Throws `invalid-config` naming the key, the source and what is allowed. */
export function loadConfig({ file, environment, flags }: ConfigSources): LoadedConfig {
  refuseMistypedVariables(environment);
  const named = file ?? nonEmpty(environment['CAIRN_CONFIG']);
  const path = resolve(named ?? defaultConfigFile);
  const fileValues = readConfigFile(path, named !== undefined);
  const entries = settings.map((setting) => {
    const candidate =
      fromText(setting, flags[setting.key], `flag ${setting.flag}`) ??
      fromText(setting, nonEmpty(environment[setting.variable]), `variable ${setting.variable}`) ??
      fromFile(fileValues.get(setting.key), path);
    return candidate ? checked(setting, candidate) : { key: setting.key, value: setting.default, origin: 'default' };
  });
  const complete = withDefaultPool(entries);
  return { config: nested(complete), entries: complete };
}

function fromText({ schema }: Setting, text: string | undefined, origin: string): Candidate | undefined {
  if (text === undefined) return undefined;
  const { type } = schema as { type?: string };
  const base = process.cwd();
  if (type === 'array') return { value: text.split(',').map((part) => part.trim()), origin, base };
  const isNumber = type === 'integer' && /^-?\d+$/.test(text);
  const isBoolean = type === 'boolean' && /^(true|false)$/.test(text);
  if (isBoolean) return { value: text === 'true', origin, base };
  return { value: isNumber ? Number(text) : text, origin, base };
}

function fromFile(found: FileValue | undefined, path: string): Candidate | undefined {
  return found && { value: found.value, origin: `${path}, line ${found.line}`, base: dirname(path) };
}

function checked({ key, schema }: Setting, { value, origin, base }: Candidate): ConfigEntry {
  if (Value.Check(schema, value)) return { key, value: absolute(schema, value as ConfigValue, base), origin };
  const given = JSON.stringify(value) ?? String(value);
  throw new CairnError('invalid-config', `${key} must be ${expectation(schema)}, not ${given} (${origin}).`, {
    field: key,
  });
}

function absolute(schema: TSchema, value: ConfigValue, base: string): ConfigValue {
  const { format, items } = schema as { format?: string; items?: { format?: string } };
  if (format === 'path' && typeof value === 'string') return value === '' ? '' : resolve(base, value);
  if (items?.format === 'path' && Array.isArray(value)) return value.map((path) => resolve(base, path));
  return value;
}

function expectation(schema: TSchema): string {
  const { type, minimum, maximum, anyOf } = schema as {
    type?: string;
    minimum?: number;
    maximum?: number;
    anyOf?: { const: string }[];
  };
  if (anyOf) return `one of ${anyOf.map((literal) => literal.const).join(', ')}`;
  if (type === 'integer') return `an integer from ${minimum} to ${maximum}`;
  if (type === 'boolean') return 'true or false';
  if (type === 'boolean') return 'true or false';
  if (type === 'array') return 'a list of one or more different paths';
  return 'a text that is not empty';
}

function withDefaultPool(entries: ConfigEntry[]): ConfigEntry[] {
  const dataDirectory = entries.find(({ key }) => key === 'dataDirectory')?.value;
  return entries.map((entry) => {
    const isComputed = entry.key === 'pools' && entry.origin === 'default';
    return isComputed ? { ...entry, value: [join(String(dataDirectory), 'pool')] } : entry;
  });
}

function nested(entries: readonly ConfigEntry[]): Config {
  const config: Record<string, unknown> = {};
  for (const { key, value } of entries) {
    const sections = key.split('.');
    const name = sections.pop() ?? '';
    let section = config;
    for (const each of sections) section = (section[each] ??= {}) as Record<string, unknown>;
    section[name] = value;
  }
  return config as unknown as Config;
}

function refuseMistypedVariables(environment: NodeJS.ProcessEnv): void {
  const known = [...settings.map(({ variable }) => variable), ...otherVariables];
  for (const name of Object.keys(environment)) {
    if (!name.startsWith('CAIRN_') || known.includes(name)) continue;
    const near = nearest(name, known);
    if (near && near.distance <= mistypedDistanceMax) {
      throw new CairnError('invalid-config', `Unknown variable ${name}. Did you mean ${near.name}?`);
    }
  }
}

function nonEmpty(text: string | undefined): string | undefined {
  return text === '' ? undefined : text;
}
