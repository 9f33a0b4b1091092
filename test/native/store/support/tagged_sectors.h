// Sectors that say which write they are of, and which of them may be there: the register model of the crash tests.
//
// The watched part of the volume is a few regions, each across the border of two map sectors. A watched sector is 512
// bytes: the smallest piece that a disk writes whole.
#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "store/format.h"

namespace cairn::test {

inline constexpr size_t sector_size = 512;
inline constexpr uint32_t region_count = 4;
inline constexpr uint32_t region_blocks = 64;
inline constexpr uint32_t region_sectors = region_blocks * store_block_size / sector_size;
inline constexpr uint32_t watched_sectors = region_count * region_sectors;
inline constexpr uint64_t watched_volume_size = uint64_t{5} * store::map_sector_blocks * store_block_size;

inline uint64_t region_offset(uint32_t region) {
  return (uint64_t{region + 1} * store::map_sector_blocks - 30) * store_block_size;
}
inline uint64_t offset_of(uint32_t sector) {
  return region_offset(sector / region_sectors) + sector % region_sectors * sector_size;
}

/// Watched sectors, side by side on the volume.
struct SectorRange {
  uint32_t first;
  uint32_t count;
};

/// Fills sectors from `first` with `tag`, which is not 0.
inline void stamp(std::span<std::byte> bytes, uint32_t first, uint64_t tag) {
  for (size_t at = 0; at < bytes.size(); at += 8) {
    const uint64_t word = (tag << 20) + (first + at / sector_size) * 64 + at % sector_size / 8;
    std::memcpy(bytes.data() + at, &word, 8);
  }
}

/// The tag of one sector, 0 for zeros; nothing for what no write has made.
inline std::optional<uint64_t> tag_of(std::span<const std::byte> bytes, uint32_t sector) {
  uint64_t word;
  std::memcpy(&word, bytes.data(), 8);
  const uint64_t tag = word >> 20;
  for (size_t at = 0; at < sector_size; at += 8) {
    std::memcpy(&word, bytes.data() + at, 8);
    if (word != (tag == 0 ? 0 : (tag << 20) + sector * uint64_t{64} + at / 8)) return std::nullopt;
  }
  return tag;
}

/// What one sector may hold: the write `from`, or one above it (and above `floor`) up to `to`; zeros if `zero`, the
/// newest that wrote zeros, is among them. Writes to one sector have rising tags.
struct Window {
  uint64_t from = 0;
  uint64_t to = 0;
  uint64_t zero = 0;
  uint64_t floor = 0;  // what was written up to here has been thrown away by a revert

  bool allows(uint64_t tag) const {
    if (tag == 0) return zero >= from;
    return tag == from || (tag > from && tag > floor && tag <= to);
  }
  /// The sector was read: it holds this and nothing else from now on.
  void settle(uint64_t tag) {
    from = to = tag == 0 ? zero : tag;
    zero = tag == 0 ? zero : 0;
  }
};
using Windows = std::vector<Window>;

/// What is wrong with the content of the watched sectors, or empty.
inline std::string mismatch(std::span<const std::byte> content, std::span<const Window> windows) {
  for (uint32_t sector = 0; sector < watched_sectors; ++sector) {
    const std::optional<uint64_t> tag = tag_of(content.subspan(sector * sector_size, sector_size), sector);
    const Window& window = windows[sector];
    if (tag && window.allows(*tag)) continue;
    return "sector " + std::to_string(sector) + " (volume offset " + std::to_string(offset_of(sector)) + ") holds " +
           (tag ? "write " + std::to_string(*tag) : "what nobody wrote") + ", may hold " + std::to_string(window.from) +
           " to " + std::to_string(window.to) + ", last zeroed by " + std::to_string(window.zero);
  }
  return "";
}

}  // namespace cairn::test
