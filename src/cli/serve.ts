/** `cairn serve`: the host service. It may end and start again at any time; the data plane goes on serving meanwhile. */
import { join } from 'node:path';
import type { Command } from 'commander';
import { exampleOf } from './help-text.js';
import { packageVersion } from './package-version.js';
import { addSettingFlags, loadSettings } from './setting-flags.js';
import { parseKeyRef } from '../keys/key-source.js';
import { KeyProviders } from '../keys/key-providers.js';
import { checkTls } from '../config/tls-files.js';
import type { Config } from '../config/schema.js';
import type { NodeService } from '../control/node-service.js';
import type { LocalNodeEngineOptions } from '../engine/local-node-engine.js';
import type { Log } from '../engine/process-log.js';
import { CairnError, toCairnError } from '../errors.js';
import { parsePortal, type IscsiSettings } from '../engine/iscsi-front.js';
import type { ChapUser } from '../engine/node-engine.js';

const mebibyte = 1024 * 1024;
/** Records, sockets and logs are the service's user's alone. */
const ownerOnly = 0o077;

export function configure(serve: Command): void {
  addSettingFlags(serve).option('--with-data-plane', 'end the data plane too when the service is stopped, flushed');
  exampleOf(serve, 'cairn serve --data-directory /srv/cairn --isolation volume');
  serve.action(async ({ withDataPlane = false }: { withDataPlane?: boolean }) => {
    process.umask(ownerOnly);
    const { config } = loadSettings(serve);
    checkTls(config.nbd.tls);
    const { serviceLog } = await import('./service-log.js');
    await run(config, serviceLog(config.log.level), withDataPlane);
  });
}

/** Serves until it is asked to stop. */
async function run(config: Config, log: Log, withDataPlane: boolean): Promise<void> {
  const { start } = await import('../control/node-service.js');
  const { LocalNodeEngine } = await import('../engine/local-node-engine.js');
  const { dataDirectory, pools, rest, isolation, nbd, lowSpacePercent } = config;
  const stopAsked = untilSignalled(log);
  const engine = new LocalNodeEngine(engineOptions(config, log));
  const version = packageVersion();
  const options = {
    dataDirectory,
    pools,
    rest,
    engine,
    poolDevices: engine.poolDevices,
    isolation,
    lowSpacePercent,
    version,
    log,
    checkTls: () => checkTls(nbd.tls),
  };
  const service = await start(options);
  if (!hangupMeansEnd()) process.on('SIGHUP', () => void reload(service, log));
  await stopAsked;
  await service.stop({ withDataPlane });
  log('info', 'service ended', { withDataPlane });
}

/** Of a daemon, as every daemon does; the service goes on whatever comes of it. */
async function reload(service: NodeService, log: Log): Promise<void> {
  try {
    await service.reloadTls();
  } catch (error) {
    const { code, detail } = toCairnError(error);
    log('error', 'certificates and keys cannot be read anew', { code, detail });
  }
}

function engineOptions({ dataDirectory, dataPlane, ...config }: Config, log: Log): LocalNodeEngineOptions {
  const { mode, certificates, verifyPeer, pskFile } = config.nbd.tls;
  return {
    runDirectory: config.runDirectory,
    logDirectory: join(dataDirectory, 'log'),
    logLevel: config.log.level,
    isolation: config.isolation,
    nbd: config.nbd,
    iscsi: iscsiSettings(config.iscsi),
    tls: { mode, certificateDirectory: certificates || null, verifyPeer, pskFile: pskFile || null },
    dataPlane: {
      reactors: dataPlane.reactors,
      bufferBytes: dataPlane.bufferMiB * mebibyte,
      connectionsMax: config.nbd.connectionsMax,
      negotiationsMax: config.nbd.negotiationsMax,
      iscsi: { connectionsMax: config.iscsi.connectionsMax, loginsMax: config.iscsi.loginsMax },
    },
    keys: KeyProviders.from({ ...config.keys, credentialsDirectory: process.env['CREDENTIALS_DIRECTORY'] }),
    log,
  };
}

function iscsiSettings({ host, port, portals, discovery }: Config['iscsi']): IscsiSettings {
  const { user, secret, mutualUser, mutualSecret } = discovery;
  return {
    host,
    port,
    portals: portals.map(parsePortal),
    discovery: {
      initiators: [],
      chap: chapUserOf('iscsi.discovery.user', user, secret),
      mutual: chapUserOf('iscsi.discovery.mutualUser', mutualUser, mutualSecret),
    },
  };
}

/** `null` when neither is set; throws `invalid-config` when one is. */
function chapUserOf(field: string, user: string, secret: string): ChapUser | null {
  if (user === '' && secret === '') return null;
  if (user !== '' && secret !== '') return { user, secret: parseKeyRef(secret) };
  throw new CairnError('invalid-config', `${field} and its secret go together: set both, or neither.`, { field });
}

/** Further signals change nothing: what is being flushed is flushed to the end. */
function untilSignalled(log: Log): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT', ...(hangupMeansEnd() ? (['SIGHUP'] as const) : [])] as const) {
      process.on(signal, () => {
        log('info', 'signal received', { signal });
        resolve();
      });
    }
  });
}

/** The terminal in which the service runs was closed. */
function hangupMeansEnd(): boolean {
  return process.stdout.isTTY;
}
