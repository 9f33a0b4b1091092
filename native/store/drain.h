// A merge under way; only for the files of LayeredStore that merge.
#pragma once

#include "base/aligned_memory.h"
#include "store/layer_sums.h"
#include "store/layered_store.h"

namespace cairn::store {

/// Copied at once, and so long a write to those blocks waits at most.
inline constexpr uint64_t copy_blocks_max = 64;
/// While clients ask for something: the disk is theirs again before they notice.
inline constexpr uint64_t copy_blocks_busy = 16;

struct LayeredStore::Drain {
  uint32_t parent = 0;  // the removed layer
  uint32_t child = 0;
  bool backward = false;  // out of the child, over what the parent has
  OpenLayer* from = nullptr;
  OpenLayer* to = nullptr;
  bool to_settled = false;     // frozen, and neither the ring nor memory knows more of it than its files
  std::vector<StateRun> runs;  // what `from` has in the sector at hand
  MapSector to_sector;         // the frozen target's, as it is to be
  // Checksums of the sector's blocks, as they are in the source and are to be in the target; empty: none are known.
  std::vector<BlockSum> from_sums;
  std::vector<BlockSum> to_sums;
  AlignedMemory memory{copy_blocks_max * store_block_size};
  uint64_t chain_generation = 0;
  Reactor::Clock::time_point working_since;
  // Layers outside the chain are not open; they are opened for the merge alone.
  std::unique_ptr<OpenLayer> borrowed_parent;
  std::unique_ptr<OpenLayer> borrowed_child;
};

}  // namespace cairn::store
