// Sectors of the model tests: each says which write it is of, and where.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "test/native/store/support/tagged_sectors.h"

namespace cairn::test {

/// The tag of each sector; 0 is zeros. Tags are unique, so a sector says which write it is of.
using SectorTags = std::vector<uint64_t>;

inline uint64_t model_word(uint64_t tag, uint64_t sector, size_t index) {
  return tag == 0 ? 0 : tag * 0x9e3779b97f4a7c15 + sector * 64 + index;
}

inline void fill_model_sector(std::span<std::byte> bytes, uint64_t tag, uint64_t sector) {
  for (size_t index = 0; index < sector_size / 8; ++index) {
    const uint64_t word = model_word(tag, sector, index);
    std::memcpy(bytes.data() + index * 8, &word, 8);
  }
}

inline bool holds_tag(std::span<const std::byte> bytes, uint64_t tag, uint64_t sector) {
  uint64_t difference = 0;
  for (size_t index = 0; index < sector_size / 8; ++index) {
    uint64_t word;
    std::memcpy(&word, bytes.data() + index * 8, 8);
    difference |= word ^ model_word(tag, sector, index);
  }
  return difference == 0;
}

}  // namespace cairn::test
