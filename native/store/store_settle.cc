// What follows behind a sync, away from what clients wait for: region stamps take over from ring records, and extents
// in which nothing is under way cool.
#include <algorithm>
#include <map>

#include "store/layered_store.h"

namespace cairn::store {
namespace {

/// Taken over by the region stamps at once: well under a millisecond of the reactor's time.
constexpr uint64_t records_at_once = 4096;

}  // namespace

/// Syncs, and frees the ring's slots of all that this covers.
Task<Status> LayeredStore::settle() {
  const AsyncMutex::Guard guard = co_await settling_.lock();
  const Status synced = co_await sync_all();
  if (!synced.ok()) co_return synced;
  co_return co_await raise_recorded(ring_.maps_through());
}

Task<Status> LayeredStore::raise_recorded(uint64_t through) {
  // In portions: sorting all of a full ring would hold the reactor up for milliseconds.
  while (ring_.done_through() < through) {
    const Status raised = co_await raise_portion(std::min(through, ring_.done_through() + records_at_once));
    if (!raised.ok()) co_return raised;
  }
  co_return Status();
}

Task<Status> LayeredStore::raise_portion(uint64_t through) {
  std::map<uint32_t, std::vector<RegionUpdate>> by_layer;
  for (uint64_t number = ring_.done_through() + 1; number <= through; ++number) {
    const RingRecord& record = ring_.record(number);
    by_layer[record.layer].push_back(region_update(record.first_block, record.block_count, record.stamp));
  }
  for (auto& [number, updates] : by_layer) {
    OpenLayer* layer = find_open(number);
    if (layer == nullptr || !layer->stamps) continue;  // it has been merged away, stamps and all
    const uint32_t damaged = layer->stamps->damaged();
    const Status raised = co_await layer->stamps->raise(std::move(updates));
    if (!raised.ok()) {
      fail("writing the region stamps", raised);
      co_return Status::from_errno(EIO);
    }
    if (layer->stamps->damaged() > damaged)
      on_event_({StoreEvent::Kind::repaired,
                 "the region stamps of " + directory_ + " were damaged: every region counts as changed"});
  }
  ring_.mark_done(through);
  co_return Status();
}

/// Under the lock that whoever closes a layer's stamps takes too.
Task<Status> LayeredStore::sync_stamps() {
  const AsyncMutex::Guard guard = co_await settling_.lock();
  for (size_t slot = 1; slot < slots_.size(); ++slot) {
    OpenLayer* layer = slots_[slot].get();
    if (layer == nullptr || !layer->stamps) continue;
    const Status synced = co_await layer->stamps->sync();
    if (synced.ok()) continue;
    fail("syncing the region stamps", synced);
    co_return Status::from_errno(EIO);
  }
  co_return Status();
}

/// After a cut or a swap: no record is of any layer but the head any more, and what is frozen has its stamps for good.
Task<Status> LayeredStore::settle_former_head() {
  Status status = co_await settle();
  if (status.ok()) status = co_await sync_stamps();
  if (!status.ok()) co_return status;
  const AsyncMutex::Guard guard = co_await settling_.lock();
  for (size_t slot = 1; slot < slots_.size(); ++slot)
    if (slots_[slot] != nullptr && slots_[slot].get() != head_) slots_[slot]->stamps.reset();
  co_return status;
}

StampsFile LayeredStore::stamps_table(uint32_t layer, uint64_t blocks) const {
  return {directory_, layer, blocks, superblock_.volume_id};
}

/// Blocking.
Result<OpenedStamps> LayeredStore::open_stamps_or_renew(uint32_t layer) const {
  const StampsFile table = stamps_table(layer, metadata_.block_count());
  Result<OpenedStamps> opened = open_stamps(table);
  if (opened.ok() || opened.error().code != "REPLICA_CORRUPT") return opened;
  const Result<StampsReport> renewed = raise_stamps(table, {}, pack(newest_stamp()));
  if (!renewed.ok()) return renewed.error();
  return open_stamps(table);
}

/// Blocking.
Result<Unit> LayeredStore::grow_stamps(uint32_t layer, uint64_t blocks) const {
  const Result<OpenedStamps> opened = open_stamps(stamps_table(layer, blocks));
  if (!opened.ok()) return opened.error();
  return Unit{};
}

/// Before blocks move between frozen layers: where they go must not look older than they are. What moves into the head
/// gets stamps of its own.
Task<Result<Unit>> LayeredStore::inherit_stamps(uint32_t from, uint32_t to) {
  if (to == metadata_.head) co_return Unit{};
  const PackedStamp newest = pack(newest_stamp());
  const uint64_t blocks = metadata_.block_count();
  const Result<StampsReport> raised = co_await Offload(blocking_, reactor_, [&]() -> Result<StampsReport> {
    const Result<std::vector<PackedStamp>> stamps = read_stamps(stamps_table(from, blocks));
    std::vector<RegionUpdate> updates;
    if (!stamps.ok()) updates.push_back({0, region_count(blocks), newest});
    for (uint64_t region = 0; stamps.ok() && region < stamps.value().size(); ++region)
      if (stamps.value()[region] != 0) updates.push_back({region, region + 1, stamps.value()[region]});
    return raise_stamps(stamps_table(to, blocks), std::move(updates), newest);
  });
  if (!raised.ok()) co_return raised.error();
  co_return Unit{};
}

void LayeredStore::settle_in_background() {
  if (std::exchange(settle_asked_, true)) return;
  maintenance_.add();
  run_detached(settle(), [this](Status) {
    settle_asked_ = false;
    maintenance_.remove();
  });
}

void LayeredStore::start_sweep() {
  if (stopping_ || !failure_.empty()) return;
  maintenance_.add();
  run_detached(sweep(), [this] { maintenance_.remove(); });
}

/// Nothing is in flight: all becomes durable, and cold.
Task<Status> LayeredStore::settle_for_close() {
  Status status = co_await settle();
  if (status.ok()) status = co_await sync_stamps();
  activity_.end_epoch();
  activity_.end_epoch();
  if (status.ok()) status = co_await activity_.cool();
  co_return status;
}

/// Everything from before the epoch that ends here is synced, then cools unless it has been written since. A write that
/// is still under way keeps its extents hot: its record is not settled.
Task<> LayeredStore::sweep() {
  activity_.end_epoch();
  Status status = co_await settle();
  if (status.ok()) status = co_await sync_stamps();
  if (status.ok()) {
    for (uint64_t number = ring_.done_through() + 1; number <= ring_.last(); ++number)
      activity_.touch(ring_.record(number).first_block, ring_.record(number).block_count);
    status = co_await activity_.cool();
  }
  co_await drop_cached(head());
  if (stopping_) co_return;
  if (status.ok() && !activity_.any_hot() && ring_.done_through() == ring_.last())
    ring_.release();
  else
    sweep_timer_.start(sweep_interval, true);
}

}  // namespace cairn::store
