// What a merge does to one map sector's blocks.
#include <fcntl.h>
#include <linux/falloc.h>

#include <algorithm>

#include "store/drain.h"
#include "store/replica_files.h"

namespace cairn::store {
namespace {

uint32_t index_in_sector(uint64_t block) { return static_cast<uint32_t>(block % map_sector_blocks); }

}  // namespace

LayeredStore::OpenLayer* LayeredStore::find_open(uint32_t number) const {
  for (const auto& layer : slots_)
    if (layer != nullptr && layer->number == number) return layer.get();
  return nullptr;
}

/// Neither the ring nor memory knows more of a frozen layer than its files: from now on its map may be written without
/// them, and no replay will bring an old record of it back.
Task<Status> LayeredStore::settle_layers() { co_return co_await sync_all(); }

Task<Result<LayeredStore::OpenLayer*>> LayeredStore::open_or_borrow(uint32_t number,
                                                                    std::unique_ptr<OpenLayer>& borrowed) {
  OpenLayer* layer = find_open(number);
  if (layer == nullptr) {
    Result<LayerFiles> files =
        co_await Offload(blocking_, reactor_, [&] { return open_layer(directory_, number, 0, direct_); });
    if (!files.ok()) co_return files.error();
    borrowed = std::make_unique<OpenLayer>(reactor_, std::move(files.value()), uint16_t{0});
    layer = borrowed.get();
  }
  co_return layer;
}

Task<Result<Unit>> LayeredStore::open_for_drain(Drain& drain) {
  const Result<OpenLayer*> parent = co_await open_or_borrow(drain.parent, drain.borrowed_parent);
  if (!parent.ok()) co_return parent.error();
  const Result<OpenLayer*> child = co_await open_or_borrow(drain.child, drain.borrowed_child);
  if (!child.ok()) co_return child.error();
  drain.from = parent.value();
  drain.to = child.value();
  const Result<Unit> mapped = co_await open_map(*drain.from);
  if (!mapped.ok()) co_return mapped;
  co_return co_await open_map(*drain.to);
}

/// The layer counts as read meanwhile: a revert may come in between, and must not close its files.
Task<Result<Unit>> LayeredStore::read_map(OpenLayer& layer, uint32_t first, std::span<MapSector> into) {
  const Readers::Scope reading(layer.readers);
  const std::string path = layer_map_path(directory_, layer.number);
  co_return co_await Offload(blocking_, reactor_, [&] { return read_sectors(layer.map.fd(), path, first, into); });
}

/// Durable when it returns.
Task<Status> LayeredStore::write_sector(OpenLayer& layer, const MapSector& sector, uint32_t number) {
  MapImage image{&layer, {}};
  image.sectors.push_back(sector);
  seal(image.sectors.front(), number);
  co_return co_await write_image(image, Purpose::upkeep);
}

/// Moves the blocks of drain.runs. The structure is locked.
Task<Result<Unit>> LayeredStore::drain_sector(Drain& drain, uint32_t number) {
  const auto failed = [&drain](Status status) {
    if (status.error() != EBADMSG) return Error{errno_code(status.error()), status.message()};
    return Error{"REPLICA_CORRUPT", "layer " + std::to_string(drain.from->number) +
                                        " does not match its checksums: scrub the volume, and restore what it reports"};
  };
  const bool into_head = drain.to->number == metadata_.head;
  Status status;
  Result<Unit> opened = co_await open_map(*drain.from);
  if (opened.ok() && !into_head) opened = co_await open_map(*drain.to);
  if (opened.ok()) opened = co_await load_sums(drain, number, into_head);
  if (!opened.ok()) co_return opened;
  if (!into_head) {
    // A target that was the head a moment ago may have map sectors that are not in its file yet.
    if (!drain.to_settled) status = co_await settle_layers();
    if (!status.ok()) co_return failed(status);
    drain.to_settled = true;
    drain.to_sector = {};
    if (number < map_sector_count(drain.to->block_count)) {
      const Result<Unit> read = co_await read_map(*drain.to, number, std::span(&drain.to_sector, 1));
      if (!read.ok()) co_return read;
    }
  }
  Task<Status> fill = into_head ? drain_into_head(drain) : drain_into_frozen(drain, number);
  status = co_await std::move(fill);
  if (!status.ok()) co_return failed(status);
  // The target has it all for sure; the source forgets it for sure, and then loses it.
  status = co_await write_sector(*drain.from, MapSector(), number);
  if (!status.ok()) co_return failed(status);
  co_await drain.from->readers.wait_present();
  status =
      co_await punch(*drain.from, {uint64_t{number} * map_sector_blocks, uint64_t{number + 1} * map_sector_blocks});
  if (!status.ok()) co_return failed(status);
  co_return Unit{};
}

/// Copies, makes it durable (data, then map), and sends readers there.
Task<Status> LayeredStore::drain_into_frozen(Drain& drain, uint32_t number) {
  const Status disowned = co_await disown_sums(drain, number);
  if (!disowned.ok()) co_return disowned;
  for (const StateRun& run : drain.runs) {
    for (uint64_t block = run.first; block < run.first + run.count;) {
      const BlockRange piece{block, std::min(block + blocks_at_once(), run.first + run.count)};
      block = piece.end;
      const Status status = co_await drain_piece_into_frozen(drain, piece, run.state);
      if (!status.ok()) co_return status;
      co_await pace_within(drain.working_since);
    }
  }
  const Status synced = Status::from_result(co_await reactor_.sync_data(drain.to->data, Purpose::upkeep));
  if (!synced.ok()) {
    fail("syncing data", synced);
    co_return synced;
  }
  const Status noted = co_await save_sums(drain, number);
  if (!noted.ok()) co_return noted;
  const Status written = co_await write_sector(*drain.to, drain.to_sector, number);
  if (!written.ok()) co_return written;
  if (drain.from->slot != 0)
    for (const StateRun& run : drain.runs) redirect(*drain.from, *drain.to, run);
  co_return Status();
}

/// Forward, only what the child lacks; backward, everything.
Task<Status> LayeredStore::drain_piece_into_frozen(Drain& drain, BlockRange piece, BlockState state) {
  const bool to_base = is_base(*drain.to);
  for (uint64_t block = piece.first; block < piece.end;) {
    const BlockState present = state_at(drain.to_sector, index_in_sector(block));
    uint64_t end = block + 1;
    while (end < piece.end && state_at(drain.to_sector, index_in_sector(end)) == present) ++end;
    const BlockRange run{block, end};
    block = end;
    if (!drain.backward && present != BlockState::absent) continue;
    Status status;
    if (state == BlockState::data)
      status = co_await drain_copy(drain, *drain.to, run);
    else if (present == BlockState::data)
      status = co_await punch(*drain.to, run);
    if (!status.ok()) co_return status;
    const bool nothing_below = state == BlockState::zero && to_base;
    set_states(drain.to_sector, index_in_sector(run.first), static_cast<uint32_t>(run.count()),
               nothing_below ? BlockState::absent : state);
    if (state == BlockState::zero && !drain.to_sums.empty())
      std::fill_n(drain.to_sums.begin() + index_in_sector(run.first), run.count(),
                  nothing_below ? sum_absent : sum_zero);
  }
  co_return Status();
}

/// Readers go to the target for what they have seen in the source; not before the target has it for sure.
void LayeredStore::redirect(const OpenLayer& from, const OpenLayer& to, const StateRun& run) {
  const uint64_t end = std::min(run.first + run.count, index_->block_count());
  for (uint64_t block = run.first; block < end;) {
    const SourceRun visible = index_->run_at(block, end);
    const bool nothing_below = visible.source.reads_zero() && is_base(to);
    if (visible.source.slot() == from.slot)
      index_->assign(visible.first, visible.count,
                     nothing_below ? Source() : Source(to.slot, visible.source.reads_zero()));
    block += visible.count;
  }
}

Task<Status> LayeredStore::drain_into_head(Drain& drain) {
  for (const StateRun& run : drain.runs) {
    for (uint64_t block = run.first; block < run.first + run.count;) {
      const BlockRange piece{block, std::min(block + blocks_at_once(), run.first + run.count)};
      block = piece.end;
      const Status status = co_await drain_piece_into_head(drain, piece, run.state);
      if (!status.ok()) co_return status;
      co_await pace_within(drain.working_since);
    }
  }
  // Also for what clients have written over blocks of the source, which is all that an older state could be read from.
  co_return co_await sync_all();
}

/// The head is written at the same time: the piece is locked, and every block is looked at again under the lock.
Task<Status> LayeredStore::drain_piece_into_head(Drain& drain, BlockRange piece, BlockState state) {
  RangeLock::Hold hold(locks_, piece.first, piece.end, RangeLock::Mode::exclusive);
  co_await hold;
  for (uint64_t block = piece.first; block < std::min(piece.end, index_->block_count());) {
    const SourceRun run = index_->run_at(block, std::min(piece.end, index_->block_count()));
    block += run.count;
    if (run.source.slot() != drain.from->slot) continue;
    const BlockRange visible{run.first, run.first + run.count};
    Status status;
    if (state == BlockState::data) status = co_await drain_copy(drain, head(), visible);
    // With a ring record, as every block that becomes the head's: the next write there is an overwrite without one.
    if (status.ok()) status = co_await set_state(visible, state);
    if (!status.ok()) co_return status;
  }
  co_return Status();
}

/// Of the sector's blocks in both layers, where they have them. A target whose checksums are damaged has none from now
/// on.
Task<Result<Unit>> LayeredStore::load_sums(Drain& drain, uint32_t number, bool into_head) {
  const auto load = [this, number](const OpenLayer& layer) -> std::vector<BlockSum> {
    const uint64_t first = uint64_t{number} * map_sector_blocks;
    const uint64_t count = std::min<uint64_t>(map_sector_blocks, layer.block_count - first);
    const Result<SumFile> file = SumFile::open(directory_, layer.number, false);
    if (!file.ok()) return {};
    Result<std::optional<std::vector<BlockSum>>> sums = file.value().sums(first, count);
    return sums.ok() && sums.value() ? std::move(*sums.value()) : std::vector<BlockSum>();
  };
  drain.from_sums.clear();
  drain.to_sums.clear();
  const bool of_from = metadata_.layer(drain.from->number)->checksummed;
  const bool of_to = !into_head && metadata_.layer(drain.to->number)->checksummed;
  if (!of_from && !of_to) co_return Unit{};
  co_await Offload(blocking_, reactor_, [&] {
    if (of_from) drain.from_sums = load(*drain.from);
    if (of_to) drain.to_sums = load(*drain.to);
    return 0;
  });
  if (of_to && drain.to_sums.empty()) co_return co_await forget_sums(drain.to->number);
  co_return Unit{};
}

/// Before data is replaced: cut short there, it would not match its sums, and seem damaged.
Task<Status> LayeredStore::disown_sums(Drain& drain, uint32_t number) {
  if (!drain.backward || drain.to_sums.empty()) co_return Status();
  bool replaces = false;
  for (const StateRun& run : drain.runs)
    for (uint64_t block = run.first; block < run.first + run.count; ++block) {
      const uint32_t at = index_in_sector(block);
      if (state_at(drain.to_sector, at) != BlockState::data) continue;
      drain.to_sums[at] = sum_unknown;
      replaces = true;
    }
  if (!replaces) co_return Status();
  co_return co_await save_sums(drain, number);
}

/// Behind the data, before the map: a map repaired from them never lacks what the map had.
Task<Status> LayeredStore::save_sums(Drain& drain, uint32_t number) {
  if (drain.to_sums.empty()) co_return Status();
  const Result<Unit> saved = co_await Offload(blocking_, reactor_, [&]() -> Result<Unit> {
    const Result<SumFile> file = SumFile::open(directory_, drain.to->number, false);
    if (!file.ok()) return file.error();
    return file.value().replace(uint64_t{number} * map_sector_blocks, drain.to_sums);
  });
  if (saved.ok()) co_return Status();
  co_return Status::from_errno(saved.error().code == "ENOSPC" ? ENOSPC : EIO);
}

/// What the disk has damaged is not passed on as if it were right.
Task<Status> LayeredStore::drain_copy(Drain& drain, OpenLayer& to, BlockRange run) {
  const Status status = co_await copy(*drain.from, to, run, drain.memory.span());
  if (!status.ok() || (drain.from_sums.empty() && drain.to_sums.empty())) co_return status;
  for (uint64_t block = run.first; block < run.end; ++block) {
    const BlockSum sum = sum_of(drain.memory.span().subspan((block - run.first) * store_block_size, store_block_size));
    const uint32_t at = index_in_sector(block);
    if (!drain.from_sums.empty() && !sum_fits(drain.from_sums[at], sum)) co_return Status::from_errno(EBADMSG);
    if (!drain.to_sums.empty()) drain.to_sums[at] = sum;
  }
  co_return status;
}

/// Frozen layers are read through the index; their maps are only open while something writes them.
Task<Result<Unit>> LayeredStore::open_map(OpenLayer& layer) {
  if (layer.map.valid()) co_return Unit{};
  Result<UniqueFd> map = co_await Offload(blocking_, reactor_, [&] {
    return open_part(layer_map_path(directory_, layer.number), O_RDWR, map_sector_size);
  });
  if (!map.ok()) co_return map.error();
  layer.map = reactor_.adopt(std::move(map.value()));
  co_return Unit{};
}

/// Thousands of layers need not hold two descriptors each. Not while a sync or a merge may be writing them.
void LayeredStore::close_frozen_maps() {
  if (maintaining_ || syncing_ || !pending_images_.empty()) return;
  for (const auto& layer : slots_)
    if (layer != nullptr && is_frozen(*layer)) {
      layer->map.close();
      if (layer->readers.count() == 0) layer->cached.close();
    }
}

Task<Status> LayeredStore::copy(OpenLayer& from, OpenLayer& to, BlockRange piece, std::span<std::byte> memory) {
  const std::span<std::byte> part = memory.first(piece.count() * store_block_size);
  Status status = co_await reactor_.read(from.data, part, piece.first * store_block_size, Purpose::upkeep);
  if (status.ok())
    status = co_await reactor_.write(to.data, part, piece.first * store_block_size, false, Purpose::upkeep);
  to.data_written = true;
  co_return status;
}

/// Gives the space of blocks back that the layer's map does not name, or names as zeros.
Task<Status> LayeredStore::punch(OpenLayer& layer, BlockRange range) {
  const uint64_t end = std::min(range.end, layer.block_count);
  if (range.first >= end) co_return Status();
  const int result =
      co_await reactor_.fallocate(layer.data, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                  range.first * store_block_size, (end - range.first) * store_block_size);
  // A file system without holes keeps the space until the whole file goes.
  co_return result == -EOPNOTSUPP ? Status() : Status::from_result(result);
}

}  // namespace cairn::store
