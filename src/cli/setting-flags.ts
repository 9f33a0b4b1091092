/** A flag for each setting, and `--config`. */
import type { Command } from 'commander';
import { defaultConfigFile, loadConfig, type LoadedConfig } from '../config/config.js';
import { settings, type Setting } from '../config/schema.js';

export function addSettingFlags(command: Command): Command {
  command.option('--config <file>', `YAML file of settings (default: ${defaultConfigFile}, env: CAIRN_CONFIG)`);
  for (const setting of settings) command.option(`${setting.flag} <value>`, helpOf(setting));
  return command;
}

/** The settings in force, with what the command line says. */
export function loadSettings(command: Command): LoadedConfig {
  const given = command.opts<Record<string, string | undefined>>();
  const flags = Object.fromEntries(settings.map((setting) => [setting.key, given[attributeOf(setting)]]));
  return loadConfig({ file: given['config'], environment: process.env, flags });
}

function helpOf({ description, default: value, variable }: Setting): string {
  const shown = Array.isArray(value) || value === '' ? '' : `default: ${value}, `;
  return `${description} (${shown}env: ${variable})`;
}

/** How commander names the option's value: `--rest-port` is `restPort`. */
function attributeOf({ flag }: Setting): string {
  return flag.slice(2).replaceAll(/-(.)/g, (_match, letter: string) => letter.toUpperCase());
}
