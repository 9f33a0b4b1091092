#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "store/format.h"

namespace cairn::store {

/// Which parts of a layer's map are known to have their space on the disk. A sparse map that grew at a FLUSH could meet
/// a full disk there, after the writes that it is to remember were acknowledged.
class MapSpace {
 public:
  /// A piece is what is allocated at a time: enough states for the file system's usual block.
  static constexpr uint64_t piece_size = 4096;

  struct Pieces {
    uint64_t first;
    uint64_t end;
  };
  static Pieces holding(uint64_t first_block, uint64_t count) {
    const auto first = static_cast<uint32_t>(first_block / map_sector_blocks);
    const auto last = static_cast<uint32_t>((first_block + count - 1) / map_sector_blocks);
    return {map_sector_offset(first) / piece_size, map_sector_offset(last) / piece_size + 1};
  }

  bool has(Pieces pieces) const {
    for (uint64_t piece = pieces.first; piece < pieces.end; ++piece)
      if (piece >= known_.size() || !known_[piece]) return false;
    return true;
  }
  void add(Pieces pieces) {
    if (pieces.end > known_.size()) known_.resize(pieces.end);
    std::fill(known_.begin() + static_cast<ptrdiff_t>(pieces.first),
              known_.begin() + static_cast<ptrdiff_t>(pieces.end), true);
  }

 private:
  std::vector<bool> known_;
};

}  // namespace cairn::store
