/** `cairn header ...` */
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { addYesOption, isConfirmed } from './confirmation.js';
import { exampleOf } from './help-text.js';
import { print } from './output.js';
import { clientOf } from './service-client.js';

export function configure(header: Command): void {
  exampleOf(header, 'cairn header backup secrets /root/secrets.luks2');
  addBackup(header);
  addRestore(header);
}

function addBackup(header: Command): void {
  const backup = header
    .command('backup <volume> <file>')
    .description("Write an encrypted volume's LUKS2 header, key slots and all, to a new file of its node");
  exampleOf(backup, 'cairn header backup secrets /root/secrets.luks2');
  backup.action(async (name: string, path: string) => {
    const made = await clientOf(backup).backupHeader({ params: { name }, body: { file: resolve(path) } });
    print(backup, made, ({ file }) => `The header of volume ${name} is in ${file}. Keep it away from the disks.`);
  });
}

function addRestore(header: Command): void {
  const restore = header
    .command('restore <volume> <file>')
    .description('Replace the header of a detached volume by a backup; its key slots are those of the backup then')
    .option('--force', 'also where the present header is readable and of another volume, or has another volume key');
  exampleOf(addYesOption(restore), 'cairn header restore secrets /root/secrets.luks2');
  restore.action(async (name: string, path: string, flags: { force?: boolean; yes?: boolean }) => {
    if (!(await isConfirmed(`Replace the header and all key slots of volume ${name}?`, flags))) return;
    const body = { file: resolve(path), force: flags.force ?? false };
    const restored = await clientOf(restore).restoreHeader({ params: { name }, body });
    print(restore, restored, () => `Volume ${name} has the header of ${body.file}.`);
  });
}
