#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "store/format.h"

namespace cairn::store {

/// Sectors of the head's map that memory knows better than the file.
class DirtySectors {
 public:
  explicit DirtySectors(uint64_t block_count) : bits_(map_sector_count(block_count)) {}

  void grow(uint64_t block_count) { bits_.resize(std::max<size_t>(bits_.size(), map_sector_count(block_count))); }

  bool empty() const { return list_.empty(); }
  void mark(uint64_t first_block, uint64_t count) {
    const auto last = static_cast<uint32_t>((first_block + count - 1) / map_sector_blocks);
    for (auto sector = static_cast<uint32_t>(first_block / map_sector_blocks); sector <= last; ++sector) {
      if (bits_[sector]) continue;
      bits_[sector] = true;
      list_.push_back(sector);
    }
  }
  bool contains(uint64_t first_block, uint64_t count) const {
    if (list_.empty()) return false;
    const uint64_t last = (first_block + count - 1) / map_sector_blocks;
    for (uint64_t sector = first_block / map_sector_blocks; sector <= last; ++sector)
      if (bits_[sector]) return true;
    return false;
  }
  /// Ascending; none is dirty afterwards.
  std::vector<uint32_t> take() {
    for (uint32_t sector : list_) bits_[sector] = false;
    std::vector<uint32_t> taken;
    taken.swap(list_);
    std::sort(taken.begin(), taken.end());
    return taken;
  }

 private:
  std::vector<bool> bits_;
  std::vector<uint32_t> list_;
};

}  // namespace cairn::store
