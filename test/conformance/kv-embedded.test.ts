import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EmbeddedStore } from '../../src/control/store/embedded-store.js';
import { describeKeyValueModel } from './kv-model.js';
import { describeKeyValueStore, type StoreUnderTest } from './kv-store.js';

async function openEmbedded(): Promise<StoreUnderTest> {
  const directory = await mkdtemp(join(tmpdir(), 'cairn-kv-'));
  let store = await EmbeddedStore.open(directory);
  return {
    store,
    reopen: async () => {
      await store.close();
      store = await EmbeddedStore.open(directory);
      return store;
    },
    compact: (revision) => store.compact(revision),
    dispose: async () => {
      await store.close();
      await rm(directory, { recursive: true });
    },
  };
}

describeKeyValueStore('embedded store', openEmbedded);
describeKeyValueModel('embedded store', openEmbedded);
