// layer-<n>.sum: a checksum of each block of a frozen layer. What its data is verified against, and a damaged map
// sector is made anew from. Everything here blocks.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "base/aligned_memory.h"
#include "base/status.h"
#include "base/unique_fd.h"
#include "store/block_map.h"

namespace cairn::store {

/// What stands for a block: 0, absent; 1, zeros; else of data, its CRC32C, 2 more where that is 0 or 1. 2 is also that
/// of data which a merge is replacing, so that it fits any.
using BlockSum = uint32_t;
inline constexpr BlockSum sum_absent = 0;
inline constexpr BlockSum sum_zero = 1;
inline constexpr BlockSum sum_unknown = 2;
BlockSum sum_of(std::span<const std::byte> block);
/// Whether data whose sum is `found` is what was noted as `noted`.
inline bool sum_fits(BlockSum noted, BlockSum found) { return noted == found || noted == sum_unknown; }

inline constexpr uint32_t sum_page_blocks = 1022;
/// Page i is at (i + 1) * 4096 and tells of blocks from i * 1022. All zero, or behind the file's end: all absent.
struct SumPage {
  std::array<BlockSum, sum_page_blocks> sums{};
  uint32_t number = 0;
  uint32_t checksum = 0;  // CRC32C of the bytes before
};
static_assert(sizeof(SumPage) == 4096);

/// The file's first 4096 bytes.
struct SumHeader {
  std::array<char, 8> magic{};
  uint16_t version_major = format_major;
  uint16_t version_minor = format_minor;
  uint32_t layer = 0;
  std::array<uint8_t, 4076> reserved{};
  uint32_t checksum = 0;  // CRC32C of the bytes before
};
static_assert(sizeof(SumHeader) == 4096);
inline constexpr std::array<char, 8> sum_magic = {'C', 'A', 'I', 'R', 'N', 'S', 'M', '\0'};

class SumFile {
 public:
  /// `make`: a file that is not there, or whose header is damaged, is made anew.
  static Result<SumFile> open(const std::string& directory, uint32_t layer, bool make);

  /// Nothing when the page is damaged.
  Result<std::optional<SumPage>> read(uint64_t number) const;
  Result<Unit> write(SumPage& page, uint64_t number) const;
  Result<Unit> sync() const;
  /// Of `count` blocks from `first`; nothing when a page is damaged.
  Result<std::optional<std::vector<BlockSum>>> sums(uint64_t first, uint64_t count) const;
  /// Durably replaces the sums from block `first` on.
  Result<Unit> replace(uint64_t first, std::span<const BlockSum> sums) const;

 private:
  std::string path_;
  UniqueFd file_;
};

/// A frozen layer as the disk has it: past the page cache where the file system allows.
class LayerOnDisk {
 public:
  Result<Unit> open(const std::string& directory, uint32_t layer);
  /// What is read is on the disk for sure.
  Result<Unit> sync() const;
  uint64_t block_count() const { return block_count_; }
  /// The first block from `block` on whose map sector is not a hole of the file, or block_count().
  uint64_t next_in_use(uint64_t block) const;
  /// Nothing when the sector is damaged.
  Result<std::optional<MapSector>> map_sector(uint32_t number) const;
  /// The states of `count` blocks; nothing when a map sector is damaged.
  Result<std::optional<std::vector<BlockState>>> states(uint64_t first, uint64_t count) const;
  /// The sums of blocks in these states, from what the disk returns. A block that cannot be read has `unreadable`.
  std::vector<BlockSum> compute(uint64_t first, std::span<const BlockState> states);
  static constexpr BlockSum unreadable = sum_zero;  // no data has it

  /// A damaged sector again, from the checksums, if all data that they tell of is there and right. False: it is not.
  Result<bool> repair_sector(const SumFile& sums, uint32_t number);

 private:
  std::string data_path_;
  std::string map_path_;
  UniqueFd data_;
  UniqueFd map_;
  uint64_t block_count_ = 0;
  AlignedMemory memory_{256 * kibibyte};
};

/// Computes a layer's checksums a page at a time; pages that an earlier attempt has written are kept.
class SumBuilder {
 public:
  Result<Unit> begin(const std::string& directory, uint32_t layer);
  bool whole() const { return next_page_ * sum_page_blocks >= layer_.block_count(); }
  /// The next page that there is something to do for.
  Result<Unit> step();
  /// Durable when it returns.
  Result<Unit> finish(const std::string& directory) const;

 private:
  LayerOnDisk layer_;
  std::optional<SumFile> sums_;
  uint64_t next_page_ = 0;
};

/// Repairs what is damaged in the maps of layers that have checksums; what was repaired.
Result<std::vector<std::string>> repair_maps(const std::string& directory, const std::vector<uint32_t>& layers);

}  // namespace cairn::store
