// A layer's map in the file, and as runs.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "store/format.h"

namespace cairn::store {

struct StateRun {
  uint64_t first;
  uint64_t count;
  BlockState state;
};

inline BlockState state_at(const MapSector& sector, uint32_t index) {
  return static_cast<BlockState>(sector.states[index / 4] >> (index % 4 * 2) & 3);
}
/// Sets `count` blocks from `index` of the sector; call seal() when done.
void set_states(MapSector& sector, uint32_t index, uint32_t count, BlockState state);
void seal(MapSector& sector, uint32_t number);
/// Checksum, number and states; an all-zero sector is valid.
bool valid(const MapSector& sector, uint32_t number);

/// Calls `visit` for each run of blocks that are not absent, in order. Runs end at sector boundaries at the latest.
void for_each_run(const MapSector& sector, uint32_t number, const std::function<void(const StateRun&)>& visit);

/// Makes a map file of a layer in which every block is absent; not yet durable.
Result<Unit> create_map(int fd, const std::string& path, uint32_t layer, uint64_t block_count, const Uuid& volume_id);
/// How many blocks the layer has. Those of a volume that has grown may be more; they are absent in this layer.
Result<uint64_t> read_map_header(int fd, const std::string& path, uint32_t layer);
/// Makes room for more blocks, absent at first: the file's size durably, then the header, durably. What is long enough
/// stays as it is.
Result<Unit> grow_map(int fd, const std::string& path, uint32_t layer, uint64_t block_count);
struct SectorRange {
  uint32_t first;
  uint32_t end;
};
inline SectorRange all_sectors(uint64_t block_count) { return {0, map_sector_count(block_count)}; }

/// Calls `visit` for every sector of the range in which a block is not absent. REPLICA_CORRUPT on a damaged one.
Result<Unit> for_each_sector(int fd, const std::string& path, SectorRange among,
                             const std::function<void(uint32_t number, const MapSector& sector)>& visit);
/// Sectors `first` to `first + into.size()`; REPLICA_CORRUPT on a damaged one.
Result<Unit> read_sectors(int fd, const std::string& path, uint32_t first, std::span<MapSector> into);

}  // namespace cairn::store
