// `npm start`: set-up, then the service with its data plane and the volume `demo`, until Ctrl-C.
// package.json says `exec node`: a shell between npm and this script would turn a clean end after Ctrl-C into npm's SIGINT.
import { join } from 'node:path';
import { attachDemo, linesToPaste } from './service/demo.mjs';
import { requireFreePorts } from './service/ports.mjs';
import { ServiceProcess } from './service/process.mjs';
import { serviceSettings } from './service/settings.mjs';
import { root, setUpBuild, setUpNodeModules, setUpPackages } from './setup/index.mjs';
import { main, SetupFailed, step } from './setup/steps.mjs';

const stopAsked = Symbol('asked to stop');

await main(async () => {
  await setUpPackages();
  await setUpNodeModules();
  await setUpBuild();
  await serve(serviceSettings(root, process.env));
});

async function serve(settings) {
  const log = join(settings.CAIRN_DATA_DIRECTORY, 'log/serve.log');
  await requireFreePorts(settings);
  const asked = askedToStop();
  const service = new ServiceProcess(root, settings, log);
  try {
    const uri = await Promise.race([prepare(service), asked]);
    if (uri !== stopAsked) {
      console.log(`\nCairn serves the volume demo (10 GiB, thin) at ${uri}. Ctrl-C ends it.\n`);
      console.log(linesToPaste(uri, service.restUrl, settings, log));
      await untilAsked(service, asked);
    }
  } catch (error) {
    await service.stop();
    throw error;
  }
  await stop(service);
}

/** Resolves with the URI of the volume. */
async function prepare(service) {
  const uris = [];
  await step('cairn serve', () => service.ready());
  await step('volume demo', async () => void uris.push(await attachDemo(service.restUrl)));
  return uris.join('');
}

async function untilAsked(service, asked) {
  const died = service.ended.then((status) => {
    throw service.failure(`The service ended with ${status}`);
  });
  await Promise.race([asked, died]);
}

/** Resolves at Ctrl-C, SIGTERM or a closed terminal. */
function askedToStop() {
  return new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => resolve(stopAsked));
  });
}

async function stop(service) {
  console.log('');
  await step('stopping', async () => {
    const status = await service.stop();
    if (status !== 0) throw new SetupFailed(`The service ended with ${status}. Its log: ${service.log}`);
  });
  console.log('Both processes ended cleanly; the data is kept.');
}
