import { describe, expect, it } from 'vitest';
import { flameGraph, foldStacks } from '../../bench/support/flame.js';

const printed = `cairn-reactor 
\tffffffff81aa0000 vfs_write
\tffffffff81bb0000 ksys_pwrite64
\t    7f0000000000 cairn::Reactor::Transfer::write_inline()
\t    7f0000000010 cairn::store::LayeredStore::put<int>(unsigned long)

cairn-reactor 
\tffffffff81bb0000 ksys_pwrite64
\t    7f0000000000 cairn::Reactor::Transfer::write_inline()
\t    7f0000000010 cairn::store::LayeredStore::put<int>(unsigned long)

node 
\t    7f0000000020 [unknown]

`;

describe('stacks', () => {
  const root = foldStacks(printed);

  it('are folded by thread, the outermost first', () => {
    expect(root.samples).toBe(3);
    const reactor = root.callees.get('cairn-reactor');
    expect(reactor?.samples).toBe(2);
    const put = reactor?.callees.get('cairn::store::LayeredStore::put');
    expect(put).toMatchObject({ samples: 2, isKernel: false });
    const call = put?.callees.get('cairn::Reactor::Transfer::write_inline')?.callees.get('ksys_pwrite64');
    expect(call).toMatchObject({ samples: 2, isKernel: true });
    expect(call?.callees.get('vfs_write')?.samples).toBe(1);
  });

  it('are drawn as wide as their share', () => {
    const svg = flameGraph('writes <4 KiB>', root);
    expect(svg).toContain('writes &lt;4 KiB&gt;');
    expect(svg).toContain('<title>vfs_write, 33.3 %</title>');
    expect(svg).toMatch(/x="0\.0" y="60" width="799\.5"/);
    expect(svg.match(/class="limit"/g)).toHaveLength(2);
  });

  it('of nothing are a picture all the same', () => {
    expect(flameGraph('nothing', foldStacks(''))).toContain('0 samples');
  });
});
