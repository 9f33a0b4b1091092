// Prints the paths of the named lists of native/sources.json, one a line: `node scripts/list-native-sources.mjs library addon`.
// binding.gyp reads its sources through this, so that it and CMake share one list.
import { readFileSync } from 'node:fs';

const lists = JSON.parse(readFileSync(new URL('../native/sources.json', import.meta.url), 'utf8'));
for (const name of process.argv.slice(2)) {
  if (!(name in lists)) throw new Error(`native/sources.json has no list "${name}"`);
  for (const path of lists[name]) console.log(path);
}
