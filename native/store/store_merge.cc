// Removed snapshots: merged with their child in the background, a map sector (8 MiB) at a time, so that a snapshot or a
// revert can come in between and foreground I/O goes on.
//
// A merge moves: copied, made durable in the target's data and map, only then forgotten by the source's map and punched
// out of its data. So each block is in one place or the same in both whatever interrupts the merge, it takes no space
// beyond the piece at hand, and what is done stays done. It goes the cheaper way: forward, the parent's blocks into the
// child where the child has none; or backward, the child's blocks over the parent's, which then takes the child's
// place. A head cannot be emptied into a frozen layer while it is written: the two swap their roles (store_overlay.cc).
#include <sys/stat.h>

#include <algorithm>

#include "store/drain.h"
#include "store/replica_files.h"

namespace cairn::store {
namespace {

/// Read at once from the source's map; they describe 2 GiB.
constexpr uint32_t sectors_per_read = 256;
/// A merge that found the disk full tries again so often; closing waits for a tenth of it at most.
constexpr std::chrono::milliseconds retry_delay{2000};
constexpr std::chrono::milliseconds pause_max{2000};
constexpr std::chrono::milliseconds pause_step{20};
/// So long it works before it rests; a client that comes meanwhile waits so long at most.
constexpr std::chrono::microseconds work_at_once{5000};
constexpr std::chrono::microseconds work_at_once_busy{200};
constexpr std::chrono::seconds look_again_delay{60};

uint64_t data_blocks(int fd) {
  struct stat status {};
  return ::fstat(fd, &status) == 0 ? static_cast<uint64_t>(status.st_blocks) : 0;
}

bool has_other_names(int fd) {
  struct stat status {};
  return ::fstat(fd, &status) != 0 || status.st_nlink > 1;
}

}  // namespace

Detached LayeredStore::maintain() {
  look_again_ = true;
  if (maintaining_) co_return;
  maintaining_ = true;
  const InFlightScope running(maintenance_);
  while (!stopping_ && failure_.empty()) {
    if (std::exchange(look_again_, false)) waiting_.clear(), flatten_waits_ = false;
    Task<Result<Outcome>> work = next_work();
    const Result<Outcome> outcome = co_await std::move(work);
    if (outcome.ok() && outcome.value() == Outcome::nothing) {
      if (look_again_) continue;
      break;
    }
    if (outcome.ok()) continue;
    if (outcome.error().code == "ENOSPC") {
      report_no_space(pool_full());
      for (int part = 0; part < 10 && !stopping_; ++part) co_await reactor_.sleep(retry_delay / 10);
      continue;
    }
    if (!stopping_) on_event_({StoreEvent::Kind::failed, outcome.error().message});
    break;
  }
  maintaining_ = false;
  // Nobody says when another replica lets go of files that both have, or of space.
  if (!stopping_ && failure_.empty() && (!waiting_.empty() || flatten_waits_)) look_later(look_again_delay);
}

Task<Result<LayeredStore::Outcome>> LayeredStore::next_work() {
  if (overlay_ != nullptr || next_removable() != nullptr) return remove_next();
  if (metadata_.flattening && !flatten_waits_) return flatten_next();
  return describe_next();
}

void LayeredStore::resume_maintenance() {
  maintain();
  look_later(checksum_delay);
}

/// Unless that is decided already.
void LayeredStore::look_later(Reactor::Clock::duration delay) {
  if (!look_again_timer_.running()) look_again_timer_.start(delay, true);
}

void LayeredStore::start_checksums() {
  checksums_due_ = true;
  maintain();
}

Task<> LayeredStore::wait_maintenance() {
  ++maintenance_waiters_;
  co_await maintenance_.wait_idle();
  --maintenance_waiters_;
}

/// One removed snapshot, to its end or until something comes in between.
Task<Result<LayeredStore::Outcome>> LayeredStore::remove_next() {
  const bool of_overlay = overlay_ != nullptr;
  const uint32_t number = of_overlay ? overlay_->number : next_removable()->number;
  const std::string id = metadata_.layer(number)->snapshot_id;
  merging_ = number;
  merge_progress_ = 0;
  Task<Result<Outcome>> work = of_overlay ? drain_overlay() : remove_layer(number);
  const Result<Outcome> outcome = co_await std::move(work);
  merge_progress_ = 0;
  if (!outcome.ok() && outcome.error().code != "ENOSPC")
    co_return Error{outcome.error().code, "merging snapshot " + id + " stopped: " + outcome.error().message +
                                              "; it goes on when the volume is attached again"};
  if (!outcome.ok()) {
    const bool room = co_await Offload(blocking_, reactor_, [&] { return release_reserve(directory_); });
    if (room) co_return Outcome::changed;
    co_return outcome;
  }
  if (outcome.value() == Outcome::waits) waiting_.insert(number);
  if (outcome.value() == Outcome::done) on_event_({StoreEvent::Kind::merge_finished, id});
  if (outcome.value() == Outcome::done) look_later(checksum_delay);  // the list of runs was of what it had before
  if (outcome.value() == Outcome::done)  // what it has given back is needed again, by the next one
    co_await Offload(blocking_, reactor_, [&] { return keep_reserve(directory_).ok(); });
  co_return outcome;
}

/// A removed layer that only one other, or none, depends on.
const LayerMetadata* LayeredStore::next_removable() const {
  for (const LayerMetadata& layer : metadata_.layers)
    if (layer.removed && layer.number != metadata_.overlay && !waiting_.contains(layer.number) &&
        metadata_.children(layer.number).size() <= 1)
      return &layer;
  return nullptr;
}

/// Files that another replica has too are never written, nor what a device of a snapshot reads.
bool LayeredStore::may_change(const OpenLayer& layer) const {
  return !pins_->layers.contains(layer.number) && !has_other_names(layer.data.fd()) && !has_other_names(layer.map.fd());
}

Task<Result<LayeredStore::Outcome>> LayeredStore::remove_layer(uint32_t number) {
  Drain drain;
  {
    const AsyncMutex::Guard guard = co_await structure_.lock();
    const LayerMetadata* layer = metadata_.layer(number);
    if (layer == nullptr || !layer->removed) co_return Outcome::changed;
    const std::vector<uint32_t> children = metadata_.children(number);
    if (children.size() > 1) co_return Outcome::changed;
    if (children.empty()) {
      const Result<Unit> dropped = co_await drop_layer(number);
      if (!dropped.ok()) co_return dropped.error();
      co_return Outcome::done;
    }
    const Result<Outcome> begun = co_await begin_drain(drain, number, children.front());
    if (!begun.ok() || begun.value() != Outcome::done) co_return begun;
    const Result<Unit> inherited = co_await inherit_stamps(drain.from->number, drain.to->number);
    if (!inherited.ok()) co_return inherited.error();
  }
  const Result<Outcome> drained = co_await drain_layer(drain);
  if (!drained.ok() || drained.value() != Outcome::done) co_return drained;
  co_return co_await end_drain(drain);
}

/// Opens the two layers and decides on the way. The structure is locked.
Task<Result<LayeredStore::Outcome>> LayeredStore::begin_drain(Drain& drain, uint32_t parent, uint32_t child) {
  if (!drain.memory.valid()) co_return Error{"ENOMEM", "no memory to copy with"};
  drain.parent = parent;
  drain.child = child;
  drain.chain_generation = chain_generation_;
  const Status settled = co_await settle_layers();
  if (!settled.ok()) co_return Error{errno_code(settled.error()), settled.message()};
  const Result<Unit> opened = co_await open_for_drain(drain);
  if (!opened.ok()) co_return opened.error();
  OpenLayer& above = *drain.to;
  OpenLayer& below = *drain.from;
  if (!may_change(above) || !may_change(below)) co_return Outcome::waits;
  std::vector<uint32_t> both(1, parent);
  both.push_back(child);
  const Result<Unit> prepared = co_await drop_partial_files(std::move(both));
  if (!prepared.ok()) co_return prepared.error();
  if (data_blocks(below.data.fd()) <= data_blocks(above.data.fd())) co_return Outcome::done;
  if (child == metadata_.head && overlay_ != nullptr) co_return Outcome::done;
  if (below.block_count < above.block_count) {
    const Result<Unit> grown = co_await Offload(blocking_, reactor_, [&] {
      return grow_layer(directory_, parent, below.data.fd(), below.map.fd(), above.block_count);
    });
    if (!grown.ok()) co_return grown.error();
    below.block_count = above.block_count;
  }
  if (child == metadata_.head) {
    const Result<Unit> swapped = co_await swap_head(parent);
    if (!swapped.ok()) co_return swapped.error();
    co_return Outcome::changed;
  }
  drain.backward = true;
  std::swap(drain.from, drain.to);
  co_return Outcome::done;
}

Task<Result<LayeredStore::Outcome>> LayeredStore::drain_layer(Drain& drain) {
  const uint32_t count = map_sector_count(drain.from->block_count);
  std::vector<MapSector> sectors(std::min(count, sectors_per_read));
  for (uint32_t next = 0; next < count;) {
    const std::span<MapSector> batch = std::span(sectors).first(std::min<size_t>(sectors.size(), count - next));
    const Result<Unit> read = co_await read_map(*drain.from, next, batch);
    if (drain.chain_generation != chain_generation_) co_return Outcome::changed;
    if (!read.ok()) co_return read.error();
    for (const MapSector& sector : batch) {
      const uint32_t number = next++;
      drain.runs.clear();
      for_each_run(sector, number, [&](const StateRun& run) { drain.runs.push_back(run); });
      if (drain.runs.empty()) continue;
      drain.working_since = Reactor::Clock::now();
      {
        const AsyncMutex::Guard guard = co_await structure_.lock();
        if (stopping_) co_return Error{"CLOSED", "the volume is closing"};
        if (drain.chain_generation != chain_generation_) co_return Outcome::changed;
        if (!may_change(*drain.from) || !may_change(*drain.to)) co_return Outcome::waits;
        const Result<Unit> drained = co_await drain_sector(drain, number);
        if (!drained.ok()) co_return drained.error();
      }
      merge_progress_ = static_cast<double>(next) / count;
      co_await pace(drain.working_since);
      if (drain.chain_generation != chain_generation_) co_return Outcome::changed;
    }
  }
  co_return Outcome::done;
}

/// The emptied layer leaves the tree.
Task<Result<LayeredStore::Outcome>> LayeredStore::end_drain(Drain& drain) {
  const AsyncMutex::Guard guard = co_await structure_.lock();
  if (stopping_) co_return Error{"CLOSED", "the volume is closing"};
  if (drain.chain_generation != chain_generation_) co_return Outcome::changed;
  if (pins_->layers.contains(drain.parent) || pins_->layers.contains(drain.child)) co_return Outcome::waits;
  Task<Result<Unit>> end = drain.backward ? replace_by_parent(drain.child) : drop_layer(drain.parent);
  const Result<Unit> ended = co_await std::move(end);
  if (!ended.ok()) co_return ended.error();
  co_return Outcome::done;
}

uint64_t LayeredStore::foreground_operations() const {
  return counters_.reads + counters_.writes + counters_.flushes + counters_.trims + counters_.write_zeroes;
}

/// Rests after work. Half of the time at most is work; a tenth when clients have asked for something meanwhile, of this
/// volume or of another one on the same thread and disk: what they do comes first.
Task<> LayeredStore::pace(WorkingSince& since) {
  const Reactor::Clock::duration worked = Reactor::Clock::now() - since;
  const uint64_t operations = foreground_operations() + reactor_.client_requests();
  clients_busy_ = std::exchange(operations_when_paced_, operations) != operations;
  const Reactor::Clock::duration rest = clients_busy_ ? 9 * worked : worked;
  const auto until = Reactor::Clock::now() + std::min<Reactor::Clock::duration>(rest, pause_max);
  while (!stopping_ && maintenance_waiters_ == 0 && !structure_.wanted() && Reactor::Clock::now() < until)
    co_await reactor_.sleep(std::min<Reactor::Clock::duration>(until - Reactor::Clock::now(), pause_step));
  since = Reactor::Clock::now();
}

/// In the middle of a sector, with the structure locked: nobody who wants that waits for a rest.
Task<> LayeredStore::pace_within(WorkingSince& since) {
  const Reactor::Clock::duration worked = Reactor::Clock::now() - since;
  const std::chrono::microseconds enough = clients_busy_ ? work_at_once_busy : work_at_once;
  if (worked >= enough) co_await pace(since);
}

uint64_t LayeredStore::blocks_at_once() const { return clients_busy_ ? copy_blocks_busy : copy_blocks_max; }

/// Takes a layer that nothing reads any more out of the tree; its children are its parent's now.
Task<Result<Unit>> LayeredStore::drop_layer(uint32_t number) {
  VolumeMetadata next = metadata_;
  for (const uint32_t child : metadata_.children(number)) next.layer(child)->parent = metadata_.layer(number)->parent;
  co_return co_await forget_layer(std::move(next), number);
}

/// Its parent has all that it had, and becomes what it was.
Task<Result<Unit>> LayeredStore::replace_by_parent(uint32_t number) {
  VolumeMetadata next = metadata_;
  const LayerMetadata& child = *metadata_.layer(number);
  LayerMetadata& parent = *next.layer(*child.parent);
  parent.snapshot_id = child.snapshot_id;
  parent.snapshot_name = child.snapshot_name;
  parent.removed = child.removed;
  parent.created_ms = child.created_ms;
  parent.size_bytes = child.size_bytes;
  for (const uint32_t grandchild : metadata_.children(number)) next.layer(grandchild)->parent = parent.number;
  co_return co_await forget_layer(std::move(next), number);
}

/// Durably without the layer first, then its files.
Task<Result<Unit>> LayeredStore::forget_layer(VolumeMetadata next, uint32_t number) {
  const Status synced = co_await sync_all();
  if (!synced.ok()) co_return Error{errno_code(synced.error()), synced.message()};
  // All that readers found there has been moved, unless the map that the merge went by said less.
  if (const OpenLayer* layer = find_open(number); layer != nullptr && index_->mentions(layer->slot))
    co_return Error{"REPLICA_CORRUPT",
                    layer_map_path(directory_, number) + " lacks blocks that are there: restore it from a backup"};
  std::erase_if(next.layers, [number](const LayerMetadata& layer) { return layer.number == number; });
  const Result<Unit> replaced = co_await replace_metadata(std::move(next));
  if (!replaced.ok()) co_return replaced;
  find_head();
  if (OpenLayer* layer = find_open(number)) {
    const AsyncMutex::Guard settling = co_await settling_.lock();
    // A flush that began before may still be writing the layer's map.
    while (syncing_ || layer->readers.count() > 0) {
      if (syncing_)
        co_await sync_progress_.wait();
      else
        co_await layer->readers.wait_idle();
    }
    std::erase_if(pending_images_, [layer](const MapImage& image) { return image.layer == layer; });
    slots_[layer->slot].reset();
  }
  const std::vector<uint32_t> gone(1, number);
  co_await remove_files(gone);
  co_return Unit{};
}

}  // namespace cairn::store
