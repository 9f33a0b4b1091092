#include "store/layered_store.h"

#include <fcntl.h>
#include <linux/falloc.h>

#include <algorithm>

#include "base/aligned_memory.h"
#include "store/chain_read.h"

namespace cairn::store {
namespace {

constexpr size_t zero_piece = 256 * kibibyte;

std::span<const std::byte> zero_memory() {
  alignas(store_block_size) static const std::byte zeros[zero_piece]{};
  return zeros;
}

constexpr uint64_t byte_offset(uint64_t block) { return block * store_block_size; }

}  // namespace

LayeredStore::OpenLayer::OpenLayer(Reactor& reactor, LayerFiles files, uint16_t layer_slot)
    : number(files.number),
      slot(layer_slot),
      block_count(files.block_count),
      data(reactor.adopt(std::move(files.data))),
      map(reactor.adopt(std::move(files.map))),
      readers(reactor.ready()) {
  if (files.cached.valid()) cached = reactor.adopt(std::move(files.cached));
  if (files.stamps.file.valid())
    stamps.emplace(reactor, reactor.adopt(std::move(files.stamps.file)), files.stamps.header);
}

LayeredStore::LayeredStore(Reactor& reactor, BlockingThread& blocking, OpenedReplica replica, EventHandler on_event)
    : reactor_(reactor),
      blocking_(blocking),
      on_event_(std::move(on_event)),
      directory_(std::move(replica.directory)),
      cache_mode_(replica.cache_mode),
      direct_(replica.direct),
      alignment_(replica.alignment),
      metadata_(std::move(replica.metadata)),
      superblock_(replica.superblock),
      // In the registered file table the lock lives as long as the ring, so it outlasts the last I/O of a killed
      // process.
      superblock_file_(reactor.adopt(std::move(replica.superblock_file))),
      directory_file_(reactor.adopt(std::move(replica.directory_file))),
      index_(std::move(replica.index)),
      recovered_(replica.recovered),
      ring_(reactor, reactor.adopt(std::move(replica.ring_file)), superblock_.ring_session),
      activity_(reactor, reactor.adopt(std::move(replica.activity_file)), replica.activity),
      dirty_(metadata_.block_count()),
      overlay_dirty_(metadata_.block_count()),
      locks_(reactor.ready()),
      gate_(reactor.ready()),
      mutations_(reactor.ready()),
      structure_(reactor.ready()),
      settling_(reactor.ready()),
      sweep_timer_(reactor, [this] { start_sweep(); }),
      sync_progress_(reactor.ready()),
      clients_syncing_(reactor.ready()),
      maintenance_(reactor.ready()),
      look_again_timer_(reactor, [this] { start_checksums(); }) {
  slots_.emplace_back();
  for (LayerFiles& files : replica.chain) install(std::move(files));
  find_head();
  close_frozen_maps();
  pins_->released = [this] { maintain(); };
  for (std::string& repair : replica.repairs) on_event_({StoreEvent::Kind::repaired, std::move(repair)});
}

LayeredStore::~LayeredStore() {
  CAIRN_ASSERT(mutations_.count() == 0 && maintenance_.count() == 0 && !syncing_);
  pins_->released = nullptr;
}

Geometry LayeredStore::geometry() const {
  Geometry geometry;
  geometry.size = metadata_.size_bytes;
  geometry.logical_block_size = metadata_.block_size;
  geometry.preferred_block_size = store_block_size;
  geometry.fast_zeroes = !zero_range_missing_;
  return geometry;
}

/// Every block that holds a byte of the range.
LayeredStore::BlockRange LayeredStore::blocks_touched(uint64_t offset, uint64_t length) {
  return {offset / store_block_size, (offset + length + store_block_size - 1) / store_block_size};
}

/// The blocks that lie wholly in the range; may be empty (end <= first).
LayeredStore::BlockRange LayeredStore::blocks_covered(uint64_t offset, uint64_t length) {
  return {(offset + store_block_size - 1) / store_block_size, (offset + length) / store_block_size};
}

/// Counts the error, and reports a full disk once until a write that needs room succeeds again.
Status LayeredStore::finish(Status status) {
  if (status.ok()) return status;
  ++counters_.errors;
  if (status.error() == ENOSPC) report_no_space(pool_full());
  return status;
}

void LayeredStore::report_no_space(const std::string& message) {
  if (std::exchange(no_space_reported_, true)) return;
  on_event_({StoreEvent::Kind::no_space, message});
}

// ---- Read -----------------------------------------------------------------------------------------------------------

Task<Status> LayeredStore::read(uint64_t offset, std::span<std::byte> into) {
  ++counters_.reads;
  counters_.read_bytes += into.size();
  if (!alignment_.fits(offset, into)) co_return finish(co_await read_bounced(offset, into));
  const BlockRange range = blocks_touched(offset, into.size());
  const SourceRun run = index_->run_at(range.first, range.end);
  if (run.count != range.count()) co_return finish(co_await read_runs(offset, into));
  if (run.source.reads_zero()) {
    std::fill(into.begin(), into.end(), std::byte{0});
    co_return Status();
  }
  OpenLayer& layer = layer_at(run.source.slot());
  const Readers::Scope reading(layer.readers);
  co_return finish(co_await reactor_.read(layer.file(run.source), into, offset));
}

Task<Status> LayeredStore::read_runs(uint64_t offset, std::span<std::byte> into) {
  return read_pieces(*index_, offset, into,
                     [this](Source source, std::span<std::byte> piece, uint64_t from, PieceJoin& join) {
                       read_piece(source, piece, from, join);
                     });
}

Detached LayeredStore::read_piece(Source source, std::span<std::byte> into, uint64_t offset, PieceJoin& join) {
  OpenLayer& layer = layer_at(source.slot());
  const Readers::Scope reading(layer.readers);
  join.done(co_await reactor_.read(layer.file(source), into, offset));
}

Task<Status> LayeredStore::read_bounced(uint64_t offset, std::span<std::byte> into) {
  return read_around(offset, into,
                     [this](uint64_t start, std::span<std::byte> blocks) { return read_runs(start, blocks); });
}

// ---- Write ----------------------------------------------------------------------------------------------------------

/// Whether the write cannot go into the head as it is: it fills a block in part whose rest is not there, or direct I/O
/// does not take it.
bool LayeredStore::needs_merge(uint64_t offset, std::span<const std::byte> from) const {
  if (!alignment_.fits(offset, from)) return true;
  const BlockRange touched = blocks_touched(offset, from.size());
  const bool first_in_part = offset % store_block_size != 0;
  const bool last_in_part = (offset + from.size()) % store_block_size != 0;
  return (first_in_part && !is_head_data(index_->at(touched.first))) ||
         (last_in_part && !is_head_data(index_->at(touched.end - 1)));
}

Task<Status> LayeredStore::write(uint64_t offset, std::span<const std::byte> from, Durability durability) {
  ++counters_.writes;
  counters_.written_bytes += from.size();
  while (gate_closed_) co_await gate_.wait();
  const InFlightScope mutation(mutations_);
  const BlockRange range = blocks_touched(offset, from.size());
  {
    RangeLock::Hold hold(locks_, range.first, range.end, RangeLock::Mode::shared);
    co_await hold;
    if (!needs_merge(offset, from)) {
      const WritePlan plan = plan_client_write(offset, from.size(), durability);
      if (plan.route != WriteRoute::alone) co_return finish(co_await put(offset, from, durability, plan));
    }
  }
  RangeLock::Hold hold(locks_, range.first, range.end, RangeLock::Mode::exclusive);
  co_await hold;
  if (!needs_merge(offset, from)) co_return finish(co_await put(offset, from, durability, plan_write(range)));
  co_return finish(co_await put_merged(offset, from, durability));
}

/// Fills the blocks at the edges from what is there. The range is locked exclusively.
Task<Status> LayeredStore::put_merged(uint64_t offset, std::span<const std::byte> from, Durability durability) {
  const BlockRange range = blocks_touched(offset, from.size());
  const AlignedMemory memory(byte_offset(range.count()));
  if (!memory.valid()) co_return Status::from_errno(ENOMEM);
  const uint64_t start = byte_offset(range.first);
  const size_t lead = offset - start;
  const bool last_in_part = (offset + from.size()) % store_block_size != 0;
  Status status;
  if (lead != 0) status = co_await read_runs(start, memory.span().first(store_block_size));
  if (status.ok() && last_in_part && (range.count() > 1 || lead == 0))
    status = co_await read_runs(byte_offset(range.end - 1), memory.span().last(store_block_size));
  if (!status.ok()) co_return status;
  std::copy(from.begin(), from.end(), memory.span().begin() + static_cast<ptrdiff_t>(lead));
  co_return co_await put(start, memory.span(), durability, plan_write(range));
}

/// Writes into the head's data file, and makes the head the source of the blocks. The range is locked; exclusively, if
/// the plan's route is `alone`. Nothing has been awaited since the plan was made.
Task<Status> LayeredStore::put(uint64_t offset, std::span<const std::byte> from, Durability durability,
                               WritePlan plan) {
  if (!failure_.empty()) co_return Status::from_errno(EIO);
  OpenLayer& layer = head();
  const BlockRange range = blocks_touched(offset, from.size());
  const bool durable = must_be_durable(durability);
  const bool through_cache = plan.route == WriteRoute::page_cache;
  const bool overwrite = plan.overwrite;
  CachedWrite cached_write(range);
  if (through_cache) cached_writes_.push_back(&cached_write);
  if (!may_record(range, !overwrite)) {
    const Status prepared = co_await prepare_record(range, !overwrite);
    if (!prepared.ok()) co_return prepared;
  }
  const uint64_t record = put_record(range, BlockState::data);
  // What the page cache holds, overwrites under direct I/O apart, waits for a sync: the fuller the ring may get, the
  // fewer of those there are.
  if ((through_cache && !overwrite) || cache_mode_ == CacheMode::writeback) ring_.want_room();
  // Through the page cache each durable write would be a sync of its own: writes under way together share one instead.
  // Only where nothing else is dirty, or one write would wait for all of a busy volume.
  const bool shares_sync = cache_mode_ == CacheMode::writethrough;
  const Status status = co_await reactor_.write(through_cache ? layer.cached : layer.data, from, offset,
                                                durable && overwrite && !through_cache && !shares_sync);
  layer.data_written = true;
  if (status.ok() && !overwrite) take_effect(range, head_data(through_cache));
  cached_write.end();
  ring_.finish(record, status.ok());
  if (!status.ok()) co_return status;
  if (plan.write_back) reactor_.begin_write_back(layer.cached, offset, from.size());
  if (!overwrite) no_space_reported_ = false;  // an overwrite needs no room
  if (shares_sync || (durable && through_cache)) co_return co_await sync_all(Purpose::client);
  if (durable) co_return co_await make_durable(range);
  co_return status;
}

/// What a durable write needs beyond its own data being on the disk: the map that points at it.
Task<Status> LayeredStore::make_durable(BlockRange range) {
  const bool map_behind = syncing_ || directory_dirty_ || !pending_images_.empty() ||
                          dirty_.contains(range.first, range.count()) ||
                          overlay_dirty_.contains(range.first, range.count());
  if (!map_behind) co_return Status();
  co_return co_await sync_all(Purpose::client);
}

/// Space for the map to remember what is about to be acknowledged: a FLUSH may not be the first to meet a full disk.
Task<Status> LayeredStore::reserve_space(MapSpace::Pieces pieces) {
  OpenLayer& layer = head();
  const int result = co_await reactor_.fallocate(layer.map, FALLOC_FL_KEEP_SIZE, pieces.first * MapSpace::piece_size,
                                                 (pieces.end - pieces.first) * MapSpace::piece_size);
  // A file system that cannot allocate ahead says so; then the FLUSH finds out.
  if (result < 0 && result != -EOPNOTSUPP) co_return Status::from_result(result);
  layer.map_space.add(pieces);
  co_return Status();
}

/// Whether a write may begin: there is a slot for its record, the map will have room, and its extents are hot.
bool LayeredStore::may_record(BlockRange range, bool new_state) {
  const bool hot = activity_.touch(range.first, range.count());
  return hot && ring_.ready() && (!new_state || head().map_space.has(MapSpace::holding(range.first, range.count())));
}

Task<Status> LayeredStore::prepare_record(BlockRange range, bool new_state) {
  while (!may_record(range, new_state)) {
    if (!failure_.empty()) co_return Status::from_errno(EIO);
    const MapSpace::Pieces pieces = MapSpace::holding(range.first, range.count());
    Status status;
    if (ring_.full()) {
      const uint64_t done = ring_.done_through();
      status = co_await settle();
      // Nothing is free while the oldest record's write is under way.
      if (status.ok() && ring_.done_through() == done && ring_.full()) co_await ring_.wait_finish();
    } else if (!ring_.ready()) {
      status = co_await ring_.prepare();
    } else if (new_state && !head().map_space.has(pieces)) {
      status = co_await reserve_space(pieces);
    } else {
      status = co_await activity_.heat(range.first, range.count());
      if (!sweep_timer_.running()) sweep_timer_.start(sweep_interval, true);
    }
    if (!status.ok()) co_return status;
  }
  co_return Status();
}

/// Directly after may_record() or prepare_record(), with nothing awaited in between.
uint64_t LayeredStore::put_record(BlockRange range, BlockState state) {
  const Stamp stamp{superblock_.promised_term, 0, ++sequence_};
  const uint64_t record = ring_.put({head().number, state, overlay_ != nullptr, range.first, range.count(), stamp});
  if (ring_.nearly_full()) settle_in_background();
  return record;
}

/// Where readers look, and what the next sync writes.
void LayeredStore::take_effect(BlockRange range, Source source) {
  if (overlay_ != nullptr) mark_uncovered(range);
  index_->assign(range.first, range.count(), source);
  dirty_.mark(range.first, range.count());
}

/// A new state of blocks in the head whose content is there already.
Task<Status> LayeredStore::set_state(BlockRange range, BlockState state) {
  if (!may_record(range, true)) {
    const Status prepared = co_await prepare_record(range, true);
    if (!prepared.ok()) co_return prepared;
  }
  const uint64_t record = put_record(range, state);
  take_effect(range, head_source(state));
  ring_.finish(record, true);
  co_return Status();
}

// ---- Trim and zeroes ------------------------------------------------------------------------------------------------

Task<Status> LayeredStore::trim(uint64_t offset, uint64_t length, Durability durability) {
  ++counters_.trims;
  counters_.trimmed_bytes += length;
  const BlockRange range = blocks_covered(offset, length);
  if (range.first >= range.end) co_return Status();
  while (gate_closed_) co_await gate_.wait();
  const InFlightScope mutation(mutations_);
  Status status = co_await discard(range, ZeroMode::may_unmap);
  if (status.ok() && must_be_durable(durability)) status = co_await sync_all(Purpose::client);
  co_return finish(status);
}

Task<Status> LayeredStore::write_zeroes(uint64_t offset, uint64_t length, ZeroMode mode, Durability durability) {
  ++counters_.write_zeroes;
  while (gate_closed_) co_await gate_.wait();
  const InFlightScope mutation(mutations_);
  const BlockRange whole = blocks_covered(offset, length);
  Status status;
  if (whole.first >= whole.end) {
    status = co_await write_zero_pieces(offset, length);
  } else {
    const uint64_t first_whole = byte_offset(whole.first);
    const uint64_t end_whole = byte_offset(whole.end);
    status = co_await write_zero_pieces(offset, first_whole - offset);
    if (status.ok()) status = co_await write_zero_pieces(end_whole, offset + length - end_whole);
    if (status.ok()) status = co_await discard(whole, mode);
  }
  if (status.ok() && must_be_durable(durability)) status = co_await sync_all(Purpose::client);
  co_return finish(status);
}

/// Whole blocks read as zeros afterwards: without space, or with it as ZeroMode says.
Task<Status> LayeredStore::discard(BlockRange range, ZeroMode mode) {
  RangeLock::Hold hold(locks_, range.first, range.end, RangeLock::Mode::exclusive);
  co_await hold;
  if (!failure_.empty()) co_return Status::from_errno(EIO);
  const SourceRun run = index_->run_at(range.first, range.end);
  const bool nobody_wrote = run.source == Source() && run.count == range.count();
  if (mode == ZeroMode::may_unmap && nobody_wrote) co_return Status();

  OpenLayer& layer = head();
  const bool base = metadata_.layer(layer.number)->parent == std::nullopt;
  const bool keep = mode == ZeroMode::keep_space;
  const BlockState unmapped = base ? BlockState::absent : BlockState::zero;
  const int how = keep ? FALLOC_FL_ZERO_RANGE : FALLOC_FL_PUNCH_HOLE;
  const Status prepared = co_await prepare_record(range, true);
  if (!prepared.ok()) co_return prepared;
  const uint64_t record = put_record(range, keep ? BlockState::data : unmapped);
  const int result = co_await reactor_.fallocate(layer.data, how | FALLOC_FL_KEEP_SIZE, byte_offset(range.first),
                                                 byte_offset(range.count()));
  layer.data_written = true;
  if (result == -EOPNOTSUPP && keep) {
    zero_range_missing_ = true;
    ring_.finish(record, false);
    for (uint64_t at = byte_offset(range.first); at < byte_offset(range.end); at += zero_piece) {
      const size_t piece = std::min<uint64_t>(zero_piece, byte_offset(range.end) - at);
      const Status written =
          co_await put(at, zero_memory().first(piece), Durability::buffered, plan_write(blocks_touched(at, piece)));
      if (!written.ok()) co_return written;
    }
    co_return Status();
  }
  // A file system without holes keeps the space; the map makes the blocks read as zeros all the same.
  const bool done = result >= 0 || result == -EOPNOTSUPP;
  if (done) take_effect(range, head_source(keep ? BlockState::data : unmapped));
  ring_.finish(record, done);
  co_return done ? Status() : Status::from_result(result);
}

Task<Status> LayeredStore::write_zero_pieces(uint64_t offset, uint64_t length) {
  CAIRN_ASSERT(length <= 2 * store_block_size);
  if (length == 0) co_return Status();
  const BlockRange range = blocks_touched(offset, length);
  RangeLock::Hold hold(locks_, range.first, range.end, RangeLock::Mode::exclusive);
  co_await hold;
  co_return co_await put_merged(offset, zero_memory().first(length), Durability::buffered);
}

Task<Status> LayeredStore::flush() {
  ++counters_.flushes;
  co_return finish(co_await sync_all(Purpose::client));
}

}  // namespace cairn::store
