/** `cairn serve`: the host service. It may end and start again at any time; the data plane goes on serving meanwhile. */
import { join } from 'node:path';
import type { Command } from 'commander';
import { exampleOf } from './help-text.js';
import { packageVersion } from './package-version.js';
import { addSettingFlags, loadSettings } from './setting-flags.js';
import type { Config } from '../config/schema.js';
import type { LocalNodeEngineOptions } from '../engine/local-node-engine.js';
import type { Log } from '../engine/process-log.js';

const mebibyte = 1024 * 1024;
/** Records, sockets and logs are the service's user's alone. */
const ownerOnly = 0o077;

export function configure(serve: Command): void {
  addSettingFlags(serve).option('--with-data-plane', 'end the data plane too when the service is stopped, flushed');
  exampleOf(serve, 'cairn serve --data-directory /srv/cairn --isolation volume');
  serve.action(async ({ withDataPlane = false }: { withDataPlane?: boolean }) => {
    process.umask(ownerOnly);
    const { config } = loadSettings(serve);
    const { serviceLog } = await import('./service-log.js');
    await run(config, serviceLog(config.log.level), withDataPlane);
  });
}

/** Serves until it is asked to stop. */
async function run(config: Config, log: Log, withDataPlane: boolean): Promise<void> {
  const { start } = await import('../control/node-service.js');
  const { LocalNodeEngine } = await import('../engine/local-node-engine.js');
  const { dataDirectory, pools, rest, isolation } = config;
  const stopAsked = untilSignalled(log);
  const engine = new LocalNodeEngine(engineOptions(config, log));
  const version = packageVersion();
  const service = await start({ dataDirectory, pools, rest, engine, isolation, version, log });
  await stopAsked;
  await service.stop({ withDataPlane });
  log('info', 'service ended', { withDataPlane });
}

function engineOptions({ dataDirectory, dataPlane, ...config }: Config, log: Log): LocalNodeEngineOptions {
  return {
    runDirectory: config.runDirectory,
    logDirectory: join(dataDirectory, 'log'),
    logLevel: config.log.level,
    isolation: config.isolation,
    nbd: config.nbd,
    dataPlane: { reactors: dataPlane.reactors, bufferBytes: dataPlane.bufferMiB * mebibyte },
    log,
  };
}

/** Further signals change nothing: what is being flushed is flushed to the end. */
function untilSignalled(log: Log): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
      process.on(signal, () => {
        log('info', 'signal received', { signal });
        resolve();
      });
    }
  });
}
