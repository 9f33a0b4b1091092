import { describe, expect, it } from 'vitest';
import { missingPackages, packages, planInstall } from '../../scripts/setup/system-packages.mjs';

const root = { uid: 0, hasApt: true, hasSudo: false, listsMissing: false };

describe('missingPackages', () => {
  it('names nothing when everything is there', () => {
    expect(missingPackages(packages.build, () => true)).toEqual([]);
  });

  it('names only what is absent', () => {
    const missing = missingPackages(packages.build, (provides) => provides !== '/usr/include/liburing.h');
    expect(missing.map(({ name }) => name)).toEqual(['liburing-dev']);
  });
});

describe('planInstall', () => {
  it('runs apt-get as root', () => {
    expect(planInstall(['make', 'g++'], root)).toEqual({
      commands: [['apt-get', 'install', '-y', '--no-install-recommends', 'make', 'g++']],
    });
  });

  it('updates the lists first when there are none', () => {
    const { commands } = planInstall(['make'], { ...root, listsMissing: true });
    expect(commands[0]).toEqual(['apt-get', 'update']);
    expect(commands).toHaveLength(2);
  });

  it('uses sudo when it asks for no password', () => {
    const { commands } = planInstall(['make'], { ...root, uid: 1000, hasSudo: true });
    expect(commands[0].slice(0, 3)).toEqual(['sudo', '-n', 'apt-get']);
  });

  it('gives the exact line to run when it may not install', () => {
    expect(planInstall(['make', 'g++'], { ...root, uid: 1000 })).toEqual({
      line: 'sudo apt-get update && sudo apt-get install -y --no-install-recommends make g++',
    });
  });

  it('masks the services that a package would start, before it is installed', () => {
    const services = ['tgt.service'];
    const { commands } = planInstall(['tgt'], { ...root, listsMissing: true, services });
    expect(commands.map((words) => words.slice(0, 3).join(' '))).toEqual([
      'systemctl mask tgt.service',
      'apt-get update',
      'apt-get install -y',
    ]);
    const { line } = planInstall(['tgt'], { ...root, uid: 1000, services });
    expect(line).toMatch(/^sudo systemctl mask tgt.service && sudo apt-get update && sudo apt-get install/);
  });

  it('names the packages where there is no apt', () => {
    expect(planInstall(['make'], { ...root, hasApt: false }).line).toContain('make');
  });
});
