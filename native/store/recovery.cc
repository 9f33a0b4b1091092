#include "store/recovery.h"

#include <sys/stat.h>

#include <algorithm>
#include <map>

#include "base/crc32c.h"
#include "store/block_map.h"
#include "store/region_stamps.h"
#include "store/replica_files.h"
#include "store/run_list.h"
#include "store/write_ring.h"

namespace cairn::store {
namespace {

Error damaged_ring(const OpenedReplica& replica, const std::string& what) {
  return {"REPLICA_CORRUPT",
          ring_path(replica.directory) + " is damaged (" + what + "): restore this replica from a backup or a peer"};
}

bool valid(const RingRecord& record, uint64_t slot, uint64_t session) {
  const bool in_place = record.number % ring_slots_min == slot || record.number % ring_slots_max == slot;
  return record.session == session && in_place && record.checksum == ring_record_checksum(record);
}

/// Empty, or what cannot be.
std::string inconsistency(const RingRecord& record, uint64_t block_count) {
  const std::string name = "record " + std::to_string(record.number);
  if (record.state > BlockState::zero || record.outcome > RecordState::failed)
    return name + " says what no record can say";
  if (record.first_block > block_count || record.block_count > block_count - record.first_block)
    return name + " is of blocks beyond the volume's end";
  return "";
}

/// The sectors of one layer's map that records change.
class MapPatch {
 public:
  MapPatch(const LayerFiles& layer, std::string path) : layer_(layer), path_(std::move(path)) {}

  Result<Unit> apply(const RingRecord& record, BlockState state) {
    uint64_t block = record.first_block;
    for (const uint64_t end = std::min(block + record.block_count, layer_.block_count); block < end;) {
      const auto number = static_cast<uint32_t>(block / map_sector_blocks);
      const auto index = static_cast<uint32_t>(block % map_sector_blocks);
      const auto count = static_cast<uint32_t>(std::min<uint64_t>(end - block, map_sector_blocks - index));
      Result<MapSector*> sector = load(number);
      if (!sector.ok()) return sector.error();
      set_states(*sector.value(), index, count, state);
      block += count;
    }
    return Unit{};
  }

  uint32_t layer() const { return layer_.number; }
  bool changed() const { return !sectors_.empty(); }
  /// Data first: a map must never be durable before what it points at.
  Result<Unit> write_durably() {
    Result<Unit> done = sync_file(layer_.data.get(), path_);
    for (auto& [number, sector] : sectors_) {
      if (!done.ok()) return done;
      seal(sector, number);
      done = write_all(layer_.map.get(), path_, bytes_of(sector), map_sector_offset(number));
    }
    return done.ok() ? sync_file(layer_.map.get(), path_) : done;
  }

 private:
  Result<MapSector*> load(uint32_t number) {
    const auto [at, added] = sectors_.try_emplace(number);
    if (added) {
      Result<Unit> read = read_sectors(layer_.map.get(), path_, number, std::span(&at->second, 1));
      if (!read.ok()) return read.error();
    }
    return &at->second;
  }

  const LayerFiles& layer_;
  std::string path_;
  std::map<uint32_t, MapSector> sectors_;
};

/// The regions that records of one layer touched, all of them as of the base.
std::map<uint32_t, std::vector<RegionUpdate>> touched_regions(const std::vector<RingRecord>& records, Stamp base) {
  std::map<uint32_t, std::vector<RegionUpdate>> by_layer;
  for (const RingRecord& record : records)
    if (record.block_count > 0)
      by_layer[record.layer].push_back(region_update(record.first_block, record.block_count, base));
  return by_layer;
}

/// After a power loss any block of a hot extent may be old or new.
std::vector<RegionUpdate> suspect_regions(const OpenedReplica& replica, Stamp base) {
  std::vector<RegionUpdate> updates;
  const uint64_t extent_blocks = replica.activity.extent_bytes / store_block_size;
  const uint64_t blocks = replica.metadata.block_count();
  for (uint64_t extent = 0; extent * extent_blocks < blocks; ++extent) {
    if ((replica.activity.hot[extent / 8] >> extent % 8 & 1) == 0) continue;
    const uint64_t first = extent * extent_blocks;
    updates.push_back(region_update(first, std::min(extent_blocks, blocks - first), base));
  }
  return updates;
}

/// The patches of a chain's maps, by layer; `above` is what a record may uncover blocks of.
class ChainPatch {
 public:
  explicit ChainPatch(const OpenedReplica& replica) : directory_(replica.directory) {
    MapPatch* below = nullptr;
    for (const LayerFiles& layer : replica.chain) {
      MapPatch& patch =
          patches_.try_emplace(layer.number, layer, layer_map_path(replica.directory, layer.number)).first->second;
      if (below != nullptr) above_[below->layer()] = &patch;
      below = &patch;
    }
  }

  Result<Unit> apply(const RingRecord& record) {
    const auto patch = patches_.find(record.layer);
    if (patch == patches_.end()) return Unit{};  // of a layer that is gone
    Result<Unit> applied = patch->second.apply(record, record.state);
    const auto overlay = above_.find(record.layer);
    if (applied.ok() && record.uncovers != 0 && overlay != above_.end())
      applied = overlay->second->apply(record, BlockState::absent);
    return applied;
  }

  Result<Unit> write_durably() {
    Result<Unit> written = forget_lists();
    for (auto& [number, patch] : patches_)
      if (written.ok() && patch.changed()) written = patch.write_durably();
    return written;
  }

 private:
  /// A list is made when the ring has nothing more for its layer; if one is there all the same, it is of another map.
  /// The sync is also for lists that a merge had removed when it was killed.
  Result<Unit> forget_lists() const {
    for (const auto& [number, patch] : patches_) {
      Result<Unit> removed = Unit{};
      if (patch.changed()) removed = remove_file(run_list_path(directory_, number));
      if (!removed.ok()) return removed;
    }
    return sync_directory(directory_);
  }

  const std::string& directory_;
  std::map<uint32_t, MapPatch> patches_;
  std::map<uint32_t, MapPatch*> above_;
};

Result<Unit> patch_maps(const OpenedReplica& replica, const Unsettled& unsettled) {
  ChainPatch patch(replica);
  for (const RingRecord& record : unsettled.records) {
    if (record.number <= unsettled.maps_through || record.outcome != RecordState::applied) continue;
    Result<Unit> applied = patch.apply(record);
    if (!applied.ok()) return applied;
  }
  return patch.write_durably();
}

/// As long as the ring has ever been.
Result<std::vector<RingRecord>> read_slots(int fd, const std::string& path) {
  struct stat status {};
  if (::fstat(fd, &status) != 0) return system_error("stat", path, errno);
  const uint64_t there = (static_cast<uint64_t>(status.st_size) - ring_header_bytes) / sizeof(RingRecord);
  std::vector<RingRecord> slots(std::min(there, ring_slots_max));
  Result<Unit> read = read_all(fd, path, std::as_writable_bytes(std::span(slots)), ring_header_bytes);
  if (!read.ok()) return read.error();
  return slots;
}

}  // namespace

Result<Unsettled> gather_unsettled(const OpenedReplica& replica, bool same_boot) {
  Unsettled unsettled;
  unsettled.suspects = !same_boot;
  if (!same_boot) return unsettled;
  const std::string path = ring_path(replica.directory);
  RingHeader header;
  Result<Unit> read = read_all(replica.ring_file.get(), path, bytes_of(header), 0);
  if (!read.ok()) return read.error();
  Result<std::vector<RingRecord>> found = read_slots(replica.ring_file.get(), path);
  if (!found.ok()) return found.error();
  const std::vector<RingRecord>& slots = found.value();
  const uint64_t session = replica.superblock.ring_session;
  for (uint64_t slot = 0; slot < slots.size(); ++slot)
    if (valid(slots[slot], slot, session)) unsettled.records.push_back(slots[slot]);
  const bool used =
      header.magic == ring_magic && header.session == session && header.checksum == ring_header_checksum(header);
  if (!used && !unsettled.records.empty()) return damaged_ring(replica, "its header");
  if (!used) return unsettled;
  unsettled.maps_through = header.maps_through;
  std::erase_if(unsettled.records, [&](const RingRecord& record) { return record.number <= header.done_through; });
  std::sort(unsettled.records.begin(), unsettled.records.end(),
            [](const RingRecord& a, const RingRecord& b) { return a.number < b.number; });
  uint64_t expected = header.done_through + 1;
  for (const RingRecord& record : unsettled.records) {
    // What the maps hold was only there for the region stamps.
    if (expected < record.number && record.number <= header.maps_through + 1) {
      unsettled.records_lost = true;
      expected = record.number;
    }
    if (record.number != expected++) return damaged_ring(replica, "record " + std::to_string(expected - 1));
    const std::string wrong = inconsistency(record, replica.metadata.block_count());
    if (!wrong.empty()) return damaged_ring(replica, wrong);
  }
  if (header.maps_through < header.done_through) return damaged_ring(replica, "its header");
  unsettled.records_lost = unsettled.records_lost || header.maps_through >= expected;
  return unsettled;
}

Result<Unit> settle_alone(OpenedReplica& replica, const Unsettled& unsettled, Stamp base) {
  Result<Unit> done = patch_maps(replica, unsettled);
  auto regions = touched_regions(unsettled.records, base);
  if (unsettled.suspects) regions[replica.metadata.head] = suspect_regions(replica, base);
  if (unsettled.records_lost) {
    replica.repairs.push_back(ring_path(replica.directory) +
                              " was damaged in records that had been synced: every block counts as changed");
    regions[replica.metadata.head].push_back(region_update(0, replica.metadata.block_count(), base));
  }
  // Overwrites leave the maps as they are, but their data may still be on its way.
  for (const LayerFiles& layer : replica.chain)
    if (done.ok() && regions.contains(layer.number))
      done = sync_file(layer.data.get(), layer_data_path(replica.directory, layer.number));
  for (auto& [layer, updates] : regions) {
    if (!done.ok()) return done;
    if (replica.metadata.layer(layer) == nullptr) continue;
    Result<StampsReport> raised = raise_stamps(stamps_file(replica, layer), std::move(updates), pack(base));
    if (!raised.ok()) return raised.error();
    if (!raised.value().damage.empty()) replica.repairs.push_back(raised.value().damage);
  }
  return done;
}

}  // namespace cairn::store
