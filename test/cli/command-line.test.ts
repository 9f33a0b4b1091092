import { describe, expect, it } from 'vitest';
import { cairn } from '../support/command-line.js';

const commands = [
  '',
  'serve',
  'volume',
  'volume create',
  'volume list',
  'volume show',
  'volume delete',
  'volume attach',
  'volume detach',
  'volume resize',
  'volume flatten',
  'volume scrub',
  'snapshot',
  'snapshot create',
  'snapshot list',
  'snapshot show',
  'snapshot delete',
  'snapshot revert',
  'pool',
  'pool list',
  'pool add',
  'pool remove',
  'node',
  'node reload-tls',
  'status',
  'config',
  'config show',
  'version',
  'data-plane',
];

describe('help', () => {
  it('of every command is as it was', async () => {
    const pages: string[] = [];
    for (const command of commands) {
      const { exitCode, stdout, stderr } = await cairn(`${command} --help`);
      expect([exitCode, stderr]).toEqual([0, '']);
      pages.push(`$ cairn ${command}`.trimEnd() + ` --help\n${stdout}`);
    }
    await expect(pages.join('\n')).toMatchFileSnapshot('help.golden.txt');
  });

  it.each(commands)('of "cairn %s" ends with an example', async (command) => {
    const { stdout } = await cairn(`${command} --help`);
    expect(stdout.trimEnd().split('\n\n').at(-1)).toMatch(/^Examples?:\n( {2}.*cairn .*)/);
  });

  it('is the same by the help command', async () => {
    expect((await cairn('help volume')).stdout).toBe((await cairn('volume --help')).stdout);
  });
});

describe('usage errors', () => {
  it.each([
    ['', /^Usage: cairn/],
    ['volume', /^Usage: cairn volume/],
    ['volum list', /^error: unknown command 'volum'\n\(Did you mean volume\?\)\n$/],
    ['volume lst', /^error: unknown command 'lst'\n\(Did you mean list\?\)\n$/],
    ['volume list --outptu json', /^error: unknown option '--outptu'\n\(Did you mean --output\?\)\n$/],
    ['volume list extra', /too many arguments/],
    ['volume show', /missing required argument 'name'/],
    ['volume create data', /required option '--size <size>' not specified/],
    ['volume create data --from old', /'old' is invalid\. It must be VOLUME@SNAPSHOT/],
    ['volume create data --from a@b@c', /It must be VOLUME@SNAPSHOT/],
    ['volume resize data', /required option '--size <size>' not specified/],
    ['volume create data --size 10GB', /'10GB' is invalid\. It must be a number of bytes, or a number with a unit/],
    ['volume create data --size 1GiB --block-size 1024', /Allowed choices are 512, 4096/],
    ['volume create data --size 1GiB --cache fast', /Allowed choices are none, writeback, writethrough/],
    ['volume attach data --frontend fc', /Allowed choices are nbd, iscsi, none/],
    ['volume list -o yaml', /Allowed choices are table, json/],
    ['volume list --server 127.0.0.1:9420', /It must be a URL such as http:\/\/127\.0\.0\.1:9420/],
    ['data-plane node', /required option '--run-directory <path>' not specified/],
    ['data-plane node --run-directory /r --reactors 0', /It must be a whole number above 0/],
  ])('in "cairn %s" end with exit code 2 and say what is wrong', async (line, message) => {
    const { exitCode, stdout, stderr } = await cairn(line);
    expect(exitCode).toBe(2);
    expect(stdout).toBe('');
    expect(stderr).toMatch(message);
  });
});

describe('cairn version', () => {
  it('prints the version alone', async () => {
    const { stdout } = await cairn('version');
    expect(stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
    expect(await cairn('--version')).toMatchObject({ exitCode: 0, stdout });
    expect(JSON.parse((await cairn('version -o json')).stdout)).toEqual({ version: stdout.trim() });
  });
});

describe('cairn config show', () => {
  it('prints what is in force and where it came from', async () => {
    const { exitCode, stdout } = await cairn('config show --rest-port 9500');
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/^KEY +VALUE +FROM\n/);
    expect(stdout).toMatch(/^rest\.port +9500 +flag --rest-port$/m);
    expect(stdout).toMatch(/^nbd\.port +10809 +default$/m);
  });

  it('ends with exit code 1 and one line for a wrong setting', async () => {
    const { exitCode, stderr } = await cairn('config show --rest-port many');
    expect([exitCode, stderr]).toEqual([
      1,
      'error: rest.port must be an integer from 0 to 65535, not "many" (flag --rest-port).\n',
    ]);
  });
});
