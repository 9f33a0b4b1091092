import { describe, expect, it } from 'vitest';
import { matchesLock } from '../../scripts/setup/node-modules.mjs';

const entry = { version: '1.0.0', integrity: 'sha512-a' };
const lockOf = (packages) => ({ packages: { '': { name: 'cairn' }, ...packages } });
const installedOf = (packages) => ({ packages });

describe('matchesLock', () => {
  it('accepts what npm ci installed', () => {
    expect(matchesLock(installedOf({ 'node_modules/a': entry }), lockOf({ 'node_modules/a': entry }))).toBe(true);
  });

  it('refuses another version', () => {
    const newer = { version: '1.0.1', integrity: 'sha512-b' };
    expect(matchesLock(installedOf({ 'node_modules/a': entry }), lockOf({ 'node_modules/a': newer }))).toBe(false);
  });

  it('refuses a missing package', () => {
    expect(matchesLock(installedOf({}), lockOf({ 'node_modules/a': entry }))).toBe(false);
  });

  it('refuses a package that the lock no longer has', () => {
    expect(matchesLock(installedOf({ 'node_modules/a': entry }), lockOf({}))).toBe(false);
  });

  it("accepts that another platform's optional package is absent", () => {
    expect(matchesLock(installedOf({}), lockOf({ 'node_modules/b': { ...entry, optional: true } }))).toBe(true);
  });
});
