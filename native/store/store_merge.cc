// Removed snapshots: merged into their child in the background, a map sector at a time, so that a snapshot or a revert
// can come in between and foreground I/O goes on.
//
// Whatever interrupts a merge, it starts over and skips what the child has: the parent stays whole until the
// child durably holds all of it and volume.json no longer names the parent.
#include <algorithm>

#include "base/aligned_memory.h"
#include "store/layered_store.h"
#include "store/replica_files.h"

namespace cairn::store {
namespace {

/// Read at once from the parent's map; they describe 2 GiB.
constexpr uint32_t sectors_per_read = 256;
/// Copied at once, and so long a write to those blocks waits at most.
constexpr uint64_t copy_blocks_max = 64;
/// A merge that found the disk full tries again so often; closing waits for a tenth of it at most.
constexpr std::chrono::milliseconds retry_delay{2000};

}  // namespace

struct LayeredStore::Merge {
  OpenLayer* from = nullptr;
  OpenLayer* to = nullptr;
  MapSector to_sector;         // of a frozen child, as it is to be
  bool changed = false;        // the sector at hand needed work
  bool child_settled = false;  // frozen, and its map is whole in the file
  AlignedMemory memory{copy_blocks_max * store_block_size};
  // Layers outside the chain are not open; they are opened for the merge alone.
  std::unique_ptr<OpenLayer> borrowed_from;
  std::unique_ptr<OpenLayer> borrowed_to;
};

Detached LayeredStore::maintain() {
  if (maintaining_) co_return;
  maintaining_ = true;
  const InFlightScope running(maintenance_);
  while (!stopping_ && failure_.empty()) {
    const LayerMetadata* layer = next_removable();
    if (layer == nullptr) break;
    const std::string id = layer->snapshot_id;
    const Result<bool> removed = co_await remove_layer(layer->number);
    if (!removed.ok() && removed.error().code == "ENOSPC") {
      report_no_space();
      for (int part = 0; part < 10 && !stopping_; ++part) co_await reactor_.sleep(retry_delay / 10);
      continue;
    }
    if (!removed.ok()) {
      const std::string why = "merging snapshot " + id + " stopped: " + removed.error().message;
      if (!stopping_) on_event_({StoreEvent::Kind::failed, why + "; it goes on when the volume is attached again"});
      break;
    }
    if (removed.value()) on_event_({StoreEvent::Kind::merge_finished, id});
  }
  maintaining_ = false;
}

/// A removed layer that only one other, or none, depends on.
const LayerMetadata* LayeredStore::next_removable() const {
  for (const LayerMetadata& layer : metadata_.layers)
    if (layer.removed && metadata_.children(layer.number).size() <= 1) return &layer;
  return nullptr;
}

Task<Result<bool>> LayeredStore::remove_layer(uint32_t number) {
  merging_ = number;
  merge_progress_ = 0;
  const std::vector<uint32_t> children = metadata_.children(number);
  if (!children.empty()) {
    const Result<bool> merged = co_await merge_into_child(number, children.front());
    if (!merged.ok() || !merged.value()) co_return merged;
  }
  const Result<Unit> dropped = co_await drop_layer(number);
  merge_progress_ = 0;
  if (!dropped.ok()) co_return dropped.error();
  co_return true;
}

LayeredStore::OpenLayer* LayeredStore::find_open(uint32_t number) const {
  for (const auto& layer : slots_)
    if (layer != nullptr && layer->number == number) return layer.get();
  return nullptr;
}

Task<Result<Unit>> LayeredStore::open_merge(Merge& merge, uint32_t number, uint32_t child) {
  if (!merge.memory.valid()) co_return Error{"ENOMEM", "no memory to copy with"};
  merge.from = find_open(number);
  merge.to = find_open(child);
  CAIRN_ASSERT((merge.from == nullptr) == (merge.to == nullptr));
  if (merge.from != nullptr) co_return Unit{};
  const auto open = [&](uint32_t layer) { return open_layer(directory_, layer, 0, direct_); };
  Result<LayerFiles> from = co_await Offload(blocking_, reactor_, [&] { return open(number); });
  if (!from.ok()) co_return from.error();
  Result<LayerFiles> to = co_await Offload(blocking_, reactor_, [&] { return open(child); });
  if (!to.ok()) co_return to.error();
  merge.borrowed_from = std::make_unique<OpenLayer>(reactor_, std::move(from.value()), uint16_t{0});
  merge.borrowed_to = std::make_unique<OpenLayer>(reactor_, std::move(to.value()), uint16_t{0});
  merge.from = merge.borrowed_from.get();
  merge.to = merge.borrowed_to.get();
  co_return Unit{};
}

Task<Result<bool>> LayeredStore::merge_into_child(uint32_t number, uint32_t child) {
  const uint64_t generation = chain_generation_;
  Merge merge;
  const Result<Unit> opened = co_await open_merge(merge, number, child);
  if (!opened.ok()) co_return opened.error();
  const uint32_t count = map_sector_count(merge.from->block_count);
  std::vector<MapSector> sectors(std::min(count, sectors_per_read));
  for (uint32_t next = 0; next < count;) {
    const std::span<MapSector> batch = std::span(sectors).first(std::min<size_t>(sectors.size(), count - next));
    const Result<Unit> read = co_await read_map(*merge.from, next, batch);
    if (generation != chain_generation_) co_return false;
    if (!read.ok()) co_return read.error();
    for (const MapSector& sector : batch) {
      const auto started = Reactor::Clock::now();
      {
        const AsyncMutex::Guard guard = co_await structure_.lock();
        if (stopping_) co_return Error{"CLOSED", "the volume is closing"};
        if (generation != chain_generation_) co_return false;
        const Result<Unit> merged = co_await merge_sector(merge, next, sector);
        if (!merged.ok()) co_return merged.error();
      }
      // Half the time at most: what clients do comes first.
      if (merge.changed) co_await reactor_.sleep(Reactor::Clock::now() - started);
      merge_progress_ = static_cast<double>(++next) / count;
      if (generation != chain_generation_) co_return false;
    }
  }
  co_return true;
}

/// The layer counts as read meanwhile: a revert may come in between, and must not close its files.
Task<Result<Unit>> LayeredStore::read_map(OpenLayer& layer, uint32_t first, std::span<MapSector> into) {
  const InFlightScope reading(layer.readers);
  const std::string path = layer_map_path(directory_, layer.number);
  co_return co_await Offload(blocking_, reactor_, [&] { return read_sectors(layer.map.fd(), path, first, into); });
}

/// One sector's blocks (8 MiB) from the parent to the child, where the child has nothing of its own.
Task<Result<Unit>> LayeredStore::merge_sector(Merge& merge, uint32_t number, const MapSector& from_sector) {
  merge.changed = false;
  std::vector<StateRun> runs;
  for_each_run(from_sector, number, [&](const StateRun& run) { runs.push_back(run); });
  if (runs.empty()) co_return Unit{};
  const bool into_head = merge.to->number == metadata_.head;
  if (!into_head) {
    // A child that was the head a moment ago may have map sectors that are not in its file yet.
    Status settled;
    if (!merge.child_settled) settled = co_await sync_all();
    if (!settled.ok()) co_return Error{errno_code(settled.error()), settled.message()};
    merge.child_settled = true;
    const Result<Unit> read = co_await read_map(*merge.to, number, std::span(&merge.to_sector, 1));
    if (!read.ok()) co_return read;
  }
  Status status;
  for (const StateRun& run : runs) {
    for (uint64_t block = run.first; block < run.first + run.count && status.ok(); block += copy_blocks_max) {
      const BlockRange piece{block, std::min(block + copy_blocks_max, run.first + run.count)};
      if (into_head)
        status = co_await merge_into_head(merge, piece, run.state);
      else
        status = co_await merge_into_frozen(merge, piece, run.state);
    }
  }
  if (status.ok() && !into_head) status = co_await settle_sector(merge, number);
  if (!status.ok()) co_return Error{errno_code(status.error()), status.message()};
  if (!into_head && merge.from->slot != 0)
    for (const StateRun& run : runs) redirect(*merge.from, *merge.to, run);
  co_return Unit{};
}

/// What a frozen child has got becomes durable: data, then map.
Task<Status> LayeredStore::settle_sector(Merge& merge, uint32_t number) {
  if (!merge.changed) co_return Status();
  merge.to->data_written = false;
  const Status synced = Status::from_result(co_await reactor_.sync_data(merge.to->data));
  if (!synced.ok()) {
    fail("syncing data", synced);
    co_return synced;
  }
  seal(merge.to_sector, number);
  MapImage image{merge.to, {}};
  image.sectors.push_back(merge.to_sector);
  co_return co_await write_image(image);
}

/// Readers go to the child for what they have seen in the parent; not before the child has it for sure.
void LayeredStore::redirect(const OpenLayer& from, const OpenLayer& to, const StateRun& run) {
  const uint64_t end = std::min(run.first + run.count, index_->block_count());
  for (uint64_t block = run.first; block < end;) {
    const SourceRun visible = index_->run_at(block, end);
    if (visible.source.slot() == from.slot)
      index_->assign(visible.first, visible.count, Source(to.slot, visible.source.reads_zero()));
    block += visible.count;
  }
}

/// The head is written at the same time: the piece is locked, and every block is looked at again under the lock.
Task<Status> LayeredStore::merge_into_head(Merge& merge, BlockRange piece, BlockState state) {
  RangeLock::Hold hold(locks_, piece.first, piece.end, RangeLock::Mode::exclusive);
  co_await hold;
  for (uint64_t block = piece.first; block < piece.end;) {
    const SourceRun run = index_->run_at(block, piece.end);
    block += run.count;
    if (run.source.slot() == merge.to->slot) continue;
    merge.changed = true;
    const BlockRange absent{run.first, run.first + run.count};
    Status status;
    if (state == BlockState::data) status = co_await copy(merge, absent);
    // With a ring record, as every block that becomes the head's: the next write there is an overwrite without one.
    if (status.ok()) status = co_await set_state(absent, state);
    if (!status.ok()) co_return status;
  }
  co_return Status();
}

Task<Status> LayeredStore::merge_into_frozen(Merge& merge, BlockRange piece, BlockState state) {
  const auto index_in_sector = [](uint64_t block) { return static_cast<uint32_t>(block % map_sector_blocks); };
  for (uint64_t block = piece.first; block < piece.end;) {
    const BlockState present = state_at(merge.to_sector, index_in_sector(block));
    uint64_t end = block + 1;
    while (end < piece.end && state_at(merge.to_sector, index_in_sector(end)) == present) ++end;
    const BlockRange run{block, end};
    block = end;
    if (present != BlockState::absent) continue;
    merge.changed = true;
    if (state == BlockState::data) {
      const Status copied = co_await copy(merge, run);
      if (!copied.ok()) co_return copied;
    }
    set_states(merge.to_sector, index_in_sector(run.first), static_cast<uint32_t>(run.count()), state);
  }
  co_return Status();
}

Task<Status> LayeredStore::copy(Merge& merge, BlockRange piece) {
  const std::span<std::byte> memory = merge.memory.span().first(piece.count() * store_block_size);
  Status status = co_await reactor_.read(merge.from->data, memory, piece.first * store_block_size);
  if (status.ok()) status = co_await reactor_.write(merge.to->data, memory, piece.first * store_block_size);
  merge.to->data_written = true;
  co_return status;
}

/// Takes a layer that nothing reads any more out of the tree, then its files.
Task<Result<Unit>> LayeredStore::drop_layer(uint32_t number) {
  const AsyncMutex::Guard guard = co_await structure_.lock();
  const Status synced = co_await sync_all();
  if (!synced.ok()) co_return Error{errno_code(synced.error()), synced.message()};
  VolumeMetadata next = metadata_;
  for (const uint32_t child : metadata_.children(number)) next.layer(child)->parent = metadata_.layer(number)->parent;
  std::erase_if(next.layers, [number](const LayerMetadata& layer) { return layer.number == number; });
  const Result<Unit> replaced = co_await replace_metadata(std::move(next));
  if (!replaced.ok()) co_return replaced;
  if (OpenLayer* layer = find_open(number)) {
    CAIRN_ASSERT(!index_->mentions(layer->slot));
    co_await layer->readers.wait_idle();
    slots_[layer->slot].reset();
  }
  co_return co_await Offload(blocking_, reactor_, [&] {
    const Result<Unit> data = remove_file(layer_data_path(directory_, number));
    const Result<Unit> map = remove_file(layer_map_path(directory_, number));
    return data.ok() ? map : data;
  });
}

}  // namespace cairn::store
