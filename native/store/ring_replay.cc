#include "store/ring_replay.h"

#include <algorithm>
#include <map>

#include "base/crc32c.h"
#include "store/block_map.h"
#include "store/replica_files.h"

namespace cairn::store {
namespace {

bool valid(const RingRecord& record, uint64_t slot, uint64_t session) {
  const auto* behind = reinterpret_cast<const std::byte*>(&record) + sizeof record.checksum;
  return record.session == session && record.sequence % ring_slots == slot &&
         record.checksum == crc32c(behind, sizeof record - sizeof record.checksum);
}

Result<std::vector<RingRecord>> read_records(const OpenedReplica& replica) {
  std::vector<RingRecord> slots(ring_slots);
  const std::string path = replica.directory + "/ring";
  Result<Unit> read = read_all(replica.ring_file.get(), path, std::as_writable_bytes(std::span(slots)), 0);
  if (!read.ok()) return read.error();
  std::vector<RingRecord> records;
  for (uint64_t slot = 0; slot < ring_slots; ++slot)
    if (valid(slots[slot], slot, replica.superblock.ring_session)) records.push_back(slots[slot]);
  std::sort(records.begin(), records.end(),
            [](const RingRecord& a, const RingRecord& b) { return a.sequence < b.sequence; });
  return records;
}

/// What the maps hold for sure: what the ring says, and what a record that is there can only have replaced when it was
/// synced.
uint64_t synced_through(const std::vector<RingRecord>& records) {
  uint64_t synced = 0;
  for (const RingRecord& record : records) {
    if (record.kind == RingRecordKind::synced) synced = std::max(synced, record.first_block);
    if (record.sequence > ring_slots) synced = std::max(synced, record.sequence - ring_slots);
  }
  return synced;
}

/// Empty, or what cannot be.
std::string inconsistency(const std::vector<RingRecord>& records, uint64_t synced, uint64_t block_count) {
  uint64_t expected = synced + 1;
  for (const RingRecord& record : records) {
    if (record.sequence <= synced) continue;
    if (record.sequence != expected++) return "record " + std::to_string(expected - 1) + " is damaged";
    if (record.kind == RingRecordKind::synced) continue;
    const std::string name = "record " + std::to_string(record.sequence);
    if (record.kind != RingRecordKind::state || record.state > BlockState::zero)
      return name + " says what no record can say";
    if (record.first_block > block_count || record.block_count > block_count - record.first_block)
      return name + " is of blocks beyond the volume's end";
  }
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

}  // namespace

Result<Unit> replay_ring(const OpenedReplica& replica) {
  Result<std::vector<RingRecord>> records = read_records(replica);
  if (!records.ok()) return records.error();
  const uint64_t synced = synced_through(records.value());
  const std::string wrong = inconsistency(records.value(), synced, replica.metadata.block_count());
  if (!wrong.empty())
    return Error{"REPLICA_CORRUPT",
                 replica.directory + "/ring is damaged (" + wrong + "): restore this replica from a backup or a peer"};
  std::map<uint32_t, MapPatch> patches;
  std::map<uint32_t, MapPatch*> above;
  MapPatch* below = nullptr;
  for (const LayerFiles& layer : replica.chain) {
    MapPatch& patch =
        patches.try_emplace(layer.number, layer, layer_map_path(replica.directory, layer.number)).first->second;
    if (below != nullptr) above[below->layer()] = &patch;
    below = &patch;
  }
  for (const RingRecord& record : records.value()) {
    if (record.kind != RingRecordKind::state || record.sequence <= synced) continue;
    const auto patch = patches.find(record.layer);
    if (patch == patches.end()) continue;  // of a layer that is gone
    Result<Unit> applied = patch->second.apply(record, record.state);
    const auto overlay = above.find(record.layer);
    if (applied.ok() && record.uncovers != 0 && overlay != above.end())
      applied = overlay->second->apply(record, BlockState::absent);
    if (!applied.ok()) return applied;
  }
  for (auto& [number, patch] : patches) {
    Result<Unit> written = patch.write_durably();
    if (!written.ok()) return written;
  }
  return Unit{};
}

}  // namespace cairn::store
