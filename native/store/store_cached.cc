// First writes: through the page cache.
//
// A direct write into a hole waits for a worker of the kernel, which allocates one extent and converts it afterwards. A
// write into the page cache is a copy; the next sync allocates for all of them together. So with direct I/O, too,
// blocks that the head does not have yet are written through the page cache. The index says so of each, until a sync
// has covered it; from then on it is read and overwritten directly. A FLUSH makes durable what either way has written:
// both descriptors are of one file.
//
// The kernel keeps the two views of a page the same, but for one case: a write through the page cache while a direct
// write of the page is under way. Then what was written directly may seem lost, and the next sync fails. It cannot
// happen:
//   - all writes of a block go one way at a time, as the index says, and take a shared lock of it;
//   - a write that cannot go one way (its blocks go both ways, or a large one of new blocks) has the blocks to itself;
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
    if (&layer == head_ && written_through_cache(run)) {
      dirty_.mark(run.first, run.count());  // the next sync looks again
    } else {
      index_->assign(run.first, run.count(), Source(layer.slot, Source::Access::plain));
      layer.left_cache += run.count();
    }
  }
}

/// Direct writes need not look for pages that nobody reads any more.
Task<> LayeredStore::drop_cached(OpenLayer& layer) {
  if (layer.left_cache == 0) co_return;
  const Readers::Scope reading(layer.readers);
  layer.left_cache = 0;
  (void)co_await reactor_.drop_cached(layer.cached);
}

}  // namespace cairn::store
