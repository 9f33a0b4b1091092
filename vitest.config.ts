import { defineConfig } from 'vitest/config';

/** Folders of test/ that are not unit tests: each needs the addon, running processes or programs of the system. */
const processes = ['test/e2e/**/*.test.ts', 'test/interop/**/*.test.ts', 'test/faults/**/*.test.ts'];
/** Parts with real processes, sockets and disks, and stand-ins for the rest: seconds each, too slow for `npm run check`. */
const components = ['test/engine/**/*.test.ts', 'test/conformance/**/*.test.ts'];
const addon = ['test/addon/**/*.test.ts'];

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          include: ['test/**/*.test.{ts,mjs}'],
          exclude: [...processes, ...components, ...addon],
        },
      },
      {
        test: {
          name: 'components',
          include: components,
          pool: 'forks',
          testTimeout: 60_000,
        },
      },
      {
        test: {
          name: 'addon',
          include: addon,
          pool: 'forks',
          testTimeout: 60_000,
        },
      },
      {
        test: {
          name: 'e2e',
          include: processes,
          pool: 'forks',
          fileParallelism: false,
          testTimeout: 120_000,
          hookTimeout: 120_000,
        },
      },
    ],
    coverage: { provider: 'v8', include: ['src/**/*.ts'], exclude: ['src/generated/**'] },
  },
});
