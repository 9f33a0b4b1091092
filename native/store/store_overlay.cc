// The newest snapshot's removal when the head is small: nothing of the big layer below is copied.
//
// The two swap their roles, by one replacement of volume.json: the removed layer is the head from then on, and takes
// the writes; the old head lies over it as an overlay, in which blocks only become fewer. Whoever writes a block takes
// it from the overlay by the same ring record; the rest moves down in the background. A flush makes the head's data and
// map durable, then the overlay's map: so what is read after a power loss is the overlay's block, flushed before, or
// the head's, never what the removed layer once had.
#include <algorithm>

#include "store/drain.h"

namespace cairn::store {

/// The structure is locked, and what the ring knows of both layers is in their maps.
Task<Result<Unit>> LayeredStore::swap_head(uint32_t parent) {
  // Before anything is written there, and before a tree is found after a power loss that says otherwise.
  const Result<Unit> unsummed = co_await forget_sums(parent);
  if (!unsummed.ok()) co_return unsummed;
  VolumeMetadata next = metadata_;
  LayerMetadata& below = *next.layer(parent);
  LayerMetadata& above = *next.layer(next.head);
  next.overlay = above.number;
  next.head = below.number;
  // The overlay carries the removed snapshot's identity until it is gone.
  std::swap(above.snapshot_id, below.snapshot_id);
  std::swap(above.snapshot_name, below.snapshot_name);
  std::swap(above.created_ms, below.created_ms);
  std::swap(above.size_bytes, below.size_bytes);
  std::swap(above.removed, below.removed);
  Result<OpenedStamps> stamps = co_await Offload(blocking_, reactor_, [&] { return open_stamps_or_renew(parent); });
  if (!stamps.ok()) co_return stamps.error();
  Result<UniqueFd> cached = UniqueFd();
  if (direct_) cached = co_await Offload(blocking_, reactor_, [&] { return open_cached(directory_, parent); });
  if (!cached.ok()) co_return cached.error();
  const Result<Unit> staged = co_await Offload(blocking_, reactor_, [&] { return stage_metadata(directory_, next); });
  if (!staged.ok()) co_return staged;
  co_await quiesce();
  const Result<Unit> published = co_await Offload(blocking_, reactor_, [&] { return publish_metadata(directory_); });
  if (published.ok()) {
    capture_all();
    metadata_ = std::move(next);
    find_head();
    if (direct_) head().cached = reactor_.adopt(std::move(cached.value()));
    head().stamps.emplace(reactor_, reactor_.adopt(std::move(stamps.value().file)), stamps.value().header);
    directory_dirty_ = true;
  }
  release();
  if (!published.ok()) co_return published;
  const Status durable = co_await settle_former_head();
  if (!durable.ok()) co_return Error{errno_code(durable.error()), durable.message()};
  co_return Unit{};
}

/// Blocks become the head's; those that the overlay had are to be absent in its map.
void LayeredStore::mark_uncovered(BlockRange range) {
  for (uint64_t block = range.first; block < range.end;) {
    const SourceRun run = index_->run_at(block, range.end);
    if (run.source.slot() == overlay_->slot) overlay_dirty_.mark(run.first, run.count);
    block += run.count;
  }
}

bool LayeredStore::overlay_has(BlockRange range) const {
  for (uint64_t block = range.first; block < range.end;) {
    const SourceRun run = index_->run_at(block, range.end);
    if (run.source.slot() == overlay_->slot) return true;
    block += run.count;
  }
  return false;
}

Task<Result<LayeredStore::Outcome>> LayeredStore::drain_overlay() {
  const uint64_t generation = chain_generation_;
  const uint32_t number = overlay_->number;
  const AlignedMemory memory(copy_blocks_max * store_block_size);
  if (!memory.valid()) co_return Error{"ENOMEM", "no memory to copy with"};
  // A snapshot makes the overlay a frozen layer; a revert throws it away.
  const auto changed = [&] {
    return generation != chain_generation_ || overlay_ == nullptr || overlay_->number != number;
  };
  const uint64_t end = std::min(overlay_->block_count, index_->block_count());
  for (uint64_t first = 0; first < end; first += map_sector_blocks) {
    const BlockRange range{first, std::min(first + map_sector_blocks, end)};
    if (!overlay_has(range)) continue;
    WorkingSince since = Reactor::Clock::now();
    {
      const AsyncMutex::Guard guard = co_await structure_.lock();
      if (stopping_) co_return Error{"CLOSED", "the volume is closing"};
      if (changed()) co_return Outcome::changed;
      const Status drained = co_await drain_overlay_sector(range, memory.span(), since);
      if (!drained.ok()) co_return Error{errno_code(drained.error()), drained.message()};
    }
    merge_progress_ = static_cast<double>(range.end) / static_cast<double>(end);
    co_await pace(since);
    if (changed()) co_return Outcome::changed;
  }
  const AsyncMutex::Guard guard = co_await structure_.lock();
  if (stopping_) co_return Error{"CLOSED", "the volume is closing"};
  if (changed()) co_return Outcome::changed;
  VolumeMetadata next = metadata_;
  next.overlay.reset();
  const Result<Unit> dropped = co_await forget_layer(std::move(next), number);
  if (!dropped.ok()) co_return dropped.error();
  co_return Outcome::done;
}

Task<Status> LayeredStore::drain_overlay_sector(BlockRange range, std::span<std::byte> memory, WorkingSince& since) {
  for (uint64_t block = range.first; block < range.end;) {
    const BlockRange piece{block, std::min(block + blocks_at_once(), range.end)};
    block = piece.end;
    if (!overlay_has(piece)) continue;
    const Status status = co_await drain_overlay_piece(piece, memory);
    if (!status.ok()) co_return status;
    co_await pace_within(since);
  }
  const Status synced = co_await sync_all();
  if (!synced.ok()) co_return synced;
  co_await overlay_->readers.wait_present();
  co_return co_await punch(*overlay_, range);
}

/// As a write of the same bytes would.
Task<Status> LayeredStore::drain_overlay_piece(BlockRange piece, std::span<std::byte> memory) {
  RangeLock::Hold hold(locks_, piece.first, piece.end, RangeLock::Mode::exclusive);
  co_await hold;
  for (uint64_t block = piece.first; block < piece.end;) {
    const SourceRun run = index_->run_at(block, piece.end);
    block += run.count;
    if (run.source.slot() != overlay_->slot) continue;
    const BlockRange range{run.first, run.first + run.count};
    BlockState state = BlockState::data;
    Status status;
    if (run.source.reads_zero()) {
      status = co_await punch(head(), range);
      head().data_written = true;
      state = is_base(head()) ? BlockState::absent : BlockState::zero;
    } else {
      status = co_await copy(*overlay_, head(), range, memory);
    }
    if (status.ok()) status = co_await set_state(range, state);
    if (!status.ok()) co_return status;
  }
  co_return Status();
}

}  // namespace cairn::store
