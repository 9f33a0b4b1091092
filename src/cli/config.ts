/** `cairn config ...` */
import type { Command } from 'commander';
import { exampleOf } from './help-text.js';
import { print, tableOf } from './output.js';
import { addSettingFlags, loadSettings } from './setting-flags.js';

export function configure(config: Command): void {
  exampleOf(config, 'cairn config show');
  const show = config.command('show').description('Print each setting in force and where it came from');
  exampleOf(addSettingFlags(show), 'CAIRN_REST_PORT=9500 cairn config show');
  show.action(() => {
    const { entries } = loadSettings(show);
    print(show, { settings: entries }, (result) => {
      const rows = result.settings.map(({ key, value, origin }) => [key, [value].flat().join(', '), origin]);
      return tableOf(['KEY', 'VALUE', 'FROM'], rows);
    });
  });
}
