/** The `cairn` command line. It starts fast: only the file of the noun that was typed is loaded. */
import { Command, CommanderError, Option } from 'commander';
import { exampleOf } from './help-text.js';
import { packageVersion } from './package-version.js';
import { serverAddress, serverDefault } from './server-address.js';

interface Noun {
  name: string;
  description: string;
  /** Its file, which adds its verbs to the command, or makes the command itself act. */
  load: () => Promise<{ configure(command: Command): void }>;
}

const nouns: readonly Noun[] = [
  { name: 'serve', description: 'Run the host service', load: () => import('./serve.js') },
  {
    name: 'volume',
    description: 'Create, show, attach, grow, limit, scrub and delete volumes',
    load: () => import('./volume.js'),
  },
  { name: 'snapshot', description: 'Take, list, delete and revert to snapshots', load: () => import('./snapshot.js') },
  {
    name: 'key',
    description: 'List, add, rotate and remove keys of encrypted volumes',
    load: () => import('./key.js'),
  },
  {
    name: 'header',
    description: 'Back up and restore headers of encrypted volumes',
    load: () => import('./header.js'),
  },
  {
    name: 'access',
    description: 'Show and change who may use a volume',
    load: () => import('./access.js'),
  },
  { name: 'pool', description: 'List, add and remove the places of replicas', load: () => import('./pool.js') },
  { name: 'node', description: 'Tell the service of this node what to do', load: () => import('./node.js') },
  { name: 'status', description: 'Show the service, its processes and volumes', load: () => import('./status.js') },
  { name: 'config', description: 'Show the settings in force', load: () => import('./config.js') },
  { name: 'version', description: 'Print the version', load: () => import('./version.js') },
  {
    name: 'data-plane',
    description: 'Run a data-plane process (internal: cairn serve starts it)',
    load: () => import('./data-plane.js'),
  },
];

const usageExitCode = 2;

/** Runs what `argv` says; resolves with the exit code. */
export async function runCommandLine(argv: readonly string[]): Promise<number> {
  try {
    await program().parseAsync(withHelpAsFlag(argv));
    return Number(process.exitCode ?? 0);
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : usageExitCode;
    const { printError } = await import('./error-output.js');
    printError(error);
    return 1;
  }
}

/** `cairn help NOUN` as `cairn NOUN --help`, for which the noun's file is loaded. */
function withHelpAsFlag(argv: readonly string[]): readonly string[] {
  const [node = '', cairn = '', first, ...rest] = argv;
  return first === 'help' && rest.length > 0 ? [node, cairn, ...rest, '--help'] : argv;
}

function program(): Command {
  const cairn = new Command('cairn')
    .description('Thin-provisioned block volumes with snapshots for ordinary hosts')
    .addOption(new Option('-o, --output <format>', 'how to print results').choices(['table', 'json']).default('table'))
    .addOption(serverOption())
    .version(packageVersion(), '-V, --version', 'print the version')
    .helpOption('-h, --help', 'show this help')
    .helpCommand('help [command]', 'Show the help of a command')
    .configureHelp({ showGlobalOptions: true })
    .exitOverride();
  exampleOf(cairn, 'cairn volume create data --size 10GiB', 'cairn volume attach data');
  for (const { name, description } of nouns) cairn.command(name).description(description);
  return cairn.hook('preSubcommand', async (_cairn, command) => {
    const noun = nouns.find(({ name }) => name === command.name());
    (await noun?.load())?.configure(command);
  });
}

function serverOption(): Option {
  const option = new Option('--server <url>', 'REST address of the service');
  return option.env('CAIRN_SERVER').argParser(serverAddress).default(serverDefault);
}
