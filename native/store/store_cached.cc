// Under direct I/O, what is written through the page cache all the same.
//
// First writes. A direct write into a hole waits for a worker of the kernel, which allocates one extent and converts it
// afterwards. A write into the page cache is a copy; the next sync allocates for all of them together.
//
// Overwrites of a client that waits for each reply. It has its reply before the disk has the data, which the disk is
// told to write at once: the disk works while the reply and the next request, often a FLUSH, are on their way.
//
// The index says of each block which way it goes. A sync covers what was written through the page cache; from then on
// it is read and overwritten directly. A FLUSH makes durable what either way has written: both descriptors are of one
// file.
//
// The kernel keeps the two views of a page the same, but for one case: a write through the page cache while a direct
// write of the page is under way. Then what was written directly may seem lost, and the next sync fails. It cannot
// happen:
//   - all writes of a block go one way at a time, as the index says, and take a shared lock of it;
//   - a write that cannot go one way (its blocks go both ways, or a large one of new blocks) has the blocks to itself;
//   - a block of the head enters the page cache only by a write that no other one is under way with (mutations_);
//   - a block leaves the page cache only while no write through it is under way (cached_writes_).
#include <array>

#include "aio/inline_writes.h"
#include "store/layered_store.h"

namespace cairn::store {
namespace {

/// Pages are given back when so many blocks have left the page cache.
constexpr uint64_t dropped_at_once = 1024;
/// Map sectors looked through at once: some hundred microseconds of the reactor's time.
constexpr size_t sectors_at_once = 32;
/// Overwrites through the page cache between two syncs.
constexpr size_t overwritten_max = 4096;
constexpr size_t overwritten_at_once = 512;

}  // namespace

LayeredStore::WritePlan LayeredStore::plan_write(BlockRange range) const {
  SourceRun run = index_->run_at(range.first, range.end);
  const bool one_run = run.count == range.count();
  if (one_run && run.source == head_data(false)) return {WriteRoute::direct, true};
  if (!head().cached.valid()) return {WriteRoute::direct, false};
  if (range.count() * store_block_size > InlineWrites::length_max) return {WriteRoute::alone, false};
  const bool overwrite = one_run && run.source == head_data(true);
  for (;;) {
    if (run.source == head_data(false)) return {WriteRoute::alone, false};
    if (run.first + run.count == range.end) break;
    run = index_->run_at(run.first + run.count, range.end);
  }
  return {WriteRoute::page_cache, overwrite};
}

/// As plan_write(), or early: see above.
LayeredStore::WritePlan LayeredStore::plan_client_write(uint64_t offset, uint64_t length, Durability durability) {
  const BlockRange range = blocks_touched(offset, length);
  const WritePlan plan = plan_write(range);
  const bool direct_overwrite = plan.route == WriteRoute::direct && plan.overwrite && head().cached.valid();
  const bool whole_blocks = range.count() * store_block_size == length;
  if (!direct_overwrite || !whole_blocks || must_be_durable(durability) || length > InlineWrites::length_max)
    return plan;
  std::vector<BlockRange>& entered = head().overwritten_in_cache;
  if (mutations_.count() > 1 || entered.size() == overwritten_max || !reactor_.client_waits()) return plan;
  index_->assign(range.first, range.count(), head_data(true));
  entered.push_back(range);
  if (entered.size() == overwritten_max) settle_in_background();
  return {WriteRoute::page_cache, true, true};
}

bool LayeredStore::written_through_cache(BlockRange range) {
  return cached_writes_.find([range](const CachedWrite* write) {
    return write->range.first < range.end && range.first < write->range.end;
  }) != nullptr;
}

/// The image's data has been synced.
Task<> LayeredStore::leave_cache(const MapImage& image) {
  OpenLayer& layer = *image.layer;
  if (!layer.cached.valid()) co_return;
  for (size_t i = 0; i < image.sectors.size(); ++i) {
    leave_cache(layer, image.sectors[i].number);
    if (i % sectors_at_once == sectors_at_once - 1) co_await reactor_.sleep({});
  }
  const std::vector<BlockRange> overwritten = std::exchange(layer.overwritten_in_cache, {});
  for (size_t i = 0; i < overwritten.size(); ++i) {
    leave_cache(layer, overwritten[i]);
    if (i % overwritten_at_once == overwritten_at_once - 1) co_await reactor_.sleep({});
  }
  // Whoever waits for the sync does not wait for this.
  if (layer.left_cache >= dropped_at_once || is_frozen(layer)) {
    maintenance_.add();
    run_detached(drop_cached(layer), [this] { maintenance_.remove(); });
  }
}

void LayeredStore::leave_cache(OpenLayer& layer, uint32_t sector) {
  const uint64_t first = uint64_t{sector} * map_sector_blocks;
  std::array<Source, map_sector_blocks> memory;
  const std::span<Source> sources =
      std::span(memory).first(std::min<uint64_t>(map_sector_blocks, index_->block_count() - first));
  index_->copy_sources(first, sources);
  const Source cached(layer.slot, Source::Access::page_cache);
  for (size_t i = 0; i < sources.size();) {
    const size_t begin = i++;
    if (sources[begin] != cached) continue;
    while (i < sources.size() && sources[i] == cached) ++i;
    const BlockRange run{first + begin, first + i};
    if (!stop_caching(layer, run)) dirty_.mark(run.first, run.count());  // the next sync looks again
  }
}

void LayeredStore::leave_cache(OpenLayer& layer, BlockRange range) {
  const Source cached(layer.slot, Source::Access::page_cache);
  for (uint64_t at = range.first; at < range.end;) {
    const SourceRun run = index_->run_at(at, range.end);
    at += run.count;
    // It may have been trimmed, or frozen and overwritten since.
    if (run.source == cached && !stop_caching(layer, {run.first, at}))
      layer.overwritten_in_cache.push_back({run.first, at});
  }
}

/// False while the run is being written.
bool LayeredStore::stop_caching(OpenLayer& layer, BlockRange run) {
  if (&layer == head_ && written_through_cache(run)) return false;
  index_->assign(run.first, run.count(), Source(layer.slot, Source::Access::plain));
  layer.left_cache += run.count();
  return true;
}

/// Direct writes need not look for pages that nobody reads any more.
Task<> LayeredStore::drop_cached(OpenLayer& layer) {
  if (layer.left_cache == 0) co_return;
  const Readers::Scope reading(layer.readers);
  layer.left_cache = 0;
  (void)co_await reactor_.drop_cached(layer.cached);
}

}  // namespace cairn::store
