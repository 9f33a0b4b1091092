// The newest stamp of each 256 KiB region of a layer: what a replica that was away has to copy is where these are newer
// than what it has. They are behind the ring, which has the newest; a region may claim to be newer than it is, never
// older.
#pragma once

#include <string>
#include <vector>

#include "aio/reactor.h"
#include "base/status.h"
#include "store/format.h"

namespace cairn::store {

/// Regions `first` to `end` have been written at `stamp`.
struct RegionUpdate {
  uint64_t first;
  uint64_t end;
  PackedStamp stamp;
};

RegionUpdate region_update(uint64_t first_block, uint64_t block_count, Stamp stamp);
inline constexpr uint64_t region_count(uint64_t blocks) { return (blocks + region_blocks - 1) / region_blocks; }

// Blocking, on files by name. A damaged table is not repaired by guessing: every region counts as newest.

struct StampsFile {
  std::string directory;
  uint32_t layer;
  uint64_t blocks;  // of the volume; the file is made longer where it has grown
  Uuid volume_id;
};
/// Replaces what is there.
Result<Unit> create_stamps(const StampsFile& table, PackedStamp floor);
/// What was wrong and is repaired; empty if nothing was.
struct StampsReport {
  std::string damage;
};
/// Raises what is older, durably. A table that is missing or damaged is made anew with all of it at `newest`.
Result<StampsReport> raise_stamps(const StampsFile& table, std::vector<RegionUpdate> updates, PackedStamp newest);
/// By region. REPLICA_CORRUPT where the table is damaged.
Result<std::vector<PackedStamp>> read_stamps(const StampsFile& table);

/// The table of an open layer, on the reactor.
class RegionStamps {
 public:
  RegionStamps(Reactor& reactor, File file, const StampsHeader& header);

  /// Not durable before sync(). Damage found on the way is repaired as above; `damaged()` tells.
  Task<Status> raise(std::vector<RegionUpdate> updates);
  Task<Status> sync();
  uint32_t damaged() const { return damaged_; }

 private:
  Task<Status> raise_piece(uint64_t piece, std::span<const RegionUpdate> updates);
  Task<Status> raise_floor(PackedStamp floor);

  Reactor& reactor_;
  File file_;
  StampsHeader header_;
  bool dirty_ = false;
  uint32_t damaged_ = 0;
};

struct OpenedStamps {
  UniqueFd file;
  StampsHeader header;
};
/// REPLICA_CORRUPT when missing or its header is damaged.
Result<OpenedStamps> open_stamps(const StampsFile& table);

}  // namespace cairn::store
