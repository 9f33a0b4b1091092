import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { settings } from '../../src/config/schema.js';

const page = readFileSync(new URL('../../docs/configuration.md', import.meta.url), 'utf8').replaceAll(/ +/g, ' ');

describe('docs/configuration.md', () => {
  it.each(settings)('has a row for $key as it is', ({ key, variable, flag, default: value }) => {
    const isNone = value === '' || (Array.isArray(value) && key !== 'pools');
    const shown = key === 'pools' ? '`pool` in the data directory' : isNone ? 'none' : `\`${String(value)}\``;
    expect(page).toContain(`| \`${key}\` | \`${variable}\` | \`${flag}\` | ${shown} |`);
  });
});
