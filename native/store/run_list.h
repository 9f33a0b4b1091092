// layer-<n>.runs: what the map of a frozen layer says, as a list of runs. Opening reads it in place of a map that may
// be scattered over a sparse file. Never more than a copy: one that is missing, damaged or of another size is passed
// over, and the map is read. Whoever is about to change a frozen layer removes it first, durably. Everything here
// blocks.
#pragma once

#include <array>
#include <functional>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/unique_fd.h"
#include "store/block_map.h"

namespace cairn::store {

struct RunListHeader {
  std::array<char, 8> magic{};
  uint16_t version_major = format_major;
  uint16_t version_minor = format_minor;
  uint32_t layer = 0;
  uint64_t block_count = 0;
  uint64_t run_count = 0;  // or run_list_unkept
  uint64_t body_bytes = 0;
  std::array<uint8_t, 16> reserved{};
  uint32_t body_checksum = 0;
  uint32_t checksum = 0;  // CRC32C of the bytes before
};
static_assert(sizeof(RunListHeader) == 64);
inline constexpr std::array<char, 8> run_list_magic = {'C', 'A', 'I', 'R', 'N', 'R', 'L', '\0'};
/// The list would be longer than the map, or too long to read at once: there is none, and none is to be made again.
inline constexpr uint64_t run_list_unkept = ~uint64_t{0};

std::string run_list_path(const std::string& directory, uint32_t layer);

/// Calls `visit` for each run of blocks that are not absent, in order. False: there is no list that can be used, and
/// nothing was visited.
bool read_run_list(const std::string& directory, uint32_t layer, uint64_t block_count,
                   const std::function<void(const StateRun&)>& visit);

/// Makes the list from the map, some of its sectors at a time.
class RunListBuilder {
 public:
  /// Succeeds with nothing left to do when there is one already.
  Result<Unit> begin(const std::string& directory, uint32_t layer);
  bool whole() const { return next_ == map_sector_count(block_count_); }
  Result<Unit> step();
  /// Durable when it returns.
  Result<Unit> finish(const std::string& directory);

 private:
  void add(const StateRun& run);
  void put_pending();
  bool is_kept() const;

  uint32_t layer_ = 0;
  UniqueFd map_;
  std::string map_path_;
  uint64_t block_count_ = 0;
  uint32_t next_ = 0;
  uint64_t sectors_in_use_ = 0;
  bool is_there_ = false;
  StateRun pending_{0, 0, BlockState::absent};
  uint64_t put_through_ = 0;  // the end of the last run in the body
  uint64_t run_count_ = 0;
  std::vector<std::byte> body_;
};

}  // namespace cairn::store
