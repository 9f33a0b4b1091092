// Durability: which order makes what safe, and one sync for many that ask.
#include <algorithm>
#include <array>
#include <optional>

#include "store/layered_store.h"

namespace cairn::store {
namespace {

constexpr size_t map_writes_at_once = 64;

}  // namespace

/// Everything acknowledged before this call is on stable storage when it returns. Callers that come while one sync runs
/// share the next.
Task<Status> LayeredStore::sync_all(Purpose purpose) {
  std::optional<InFlightScope> waiting;
  if (purpose == Purpose::client) waiting.emplace(clients_syncing_);
  const uint64_t ticket = ++sync_requested_;
  while (sync_done_ < ticket) {
    if (!failure_.empty()) co_return Status::from_errno(EIO);
    if (syncing_) {
      co_await sync_progress_.wait();
      continue;
    }
    syncing_ = true;
    const uint64_t covers = sync_requested_;
    const Status status = co_await sync_once();
    syncing_ = false;
    if (status.ok()) sync_done_ = covers;
    sync_progress_.wake_all();
    if (!status.ok()) co_return status;
  }
  co_return Status();
}

/// Data, then maps, then the directory. The images of the maps are taken before the data is synced, so they name only
/// data that this sync makes durable.
Task<Status> LayeredStore::sync_once() {
  const uint64_t recorded = ring_.settled();
  const Purpose purpose = clients_syncing_.count() > 0 ? Purpose::client : Purpose::upkeep;
  std::vector<MapImage> images;
  images.swap(pending_images_);
  images.push_back(capture(head(), dirty_));
  // Behind the head's: what an overlay gives up must be the head's for sure.
  if (overlay_ != nullptr) images.push_back(capture(*overlay_, overlay_dirty_));
  const bool sync_directory = std::exchange(directory_dirty_, false);

  for (size_t i = 0; i < images.size(); ++i) {
    OpenLayer& layer = *images[i].layer;
    if (std::exchange(layer.data_written, false)) {
      const Status synced = Status::from_result(co_await reactor_.sync_data(layer.data, purpose));
      if (!synced.ok()) {
        fail("syncing data", synced);
        co_return Status::from_errno(EIO);
      }
    }
    co_await leave_cache(images[i]);
    const Status written = co_await write_image(images[i], purpose);
    if (written.ok()) continue;
    // Not lost: the next sync tries again, before what came later. A full disk heals; anything else has failed the
    // store.
    pending_images_.insert(pending_images_.begin(), std::make_move_iterator(images.begin() + static_cast<ptrdiff_t>(i)),
                           std::make_move_iterator(images.end()));
    directory_dirty_ = directory_dirty_ || sync_directory;
    co_return written;
  }
  if (sync_directory) {
    const Status synced = Status::from_result(co_await reactor_.sync_all(directory_file_, purpose));
    if (!synced.ok()) {
      fail("syncing the directory", synced);
      co_return Status::from_errno(EIO);
    }
  }
  ring_.mark_maps(recorded);
  co_return Status();
}

/// Sectors that lie together are one write, and many writes are under way at once: a map of scattered sectors would
/// take as many round trips of the disk.
Task<Status> LayeredStore::write_image(const MapImage& image, Purpose purpose) {
  std::span<const MapSector> left(image.sectors);
  if (left.empty()) co_return Status();
  while (!left.empty()) {
    PieceJoin join;
    for (size_t writes = 0; writes < map_writes_at_once && !left.empty(); ++writes) {
      size_t count = 1;
      while (count < left.size() && left[count].number == left[count - 1].number + 1) ++count;
      join.add();
      write_sectors(*image.layer, left.first(count), purpose, join);
      left = left.subspan(count);
    }
    const Status written = co_await join;
    if (written.ok()) continue;
    if (written.error() != ENOSPC) fail("writing the block map", written);
    co_return written;
  }
  const Status synced = Status::from_result(co_await reactor_.sync_data(image.layer->map, purpose));
  if (!synced.ok()) fail("syncing the block map", synced);
  co_return synced;
}

Detached LayeredStore::write_sectors(OpenLayer& layer, std::span<const MapSector> sectors, Purpose purpose,
                                     PieceJoin& join) {
  join.done(co_await reactor_.write(layer.map, std::as_bytes(sectors), map_sector_offset(sectors.front().number), false,
                                    purpose));
}

/// The dirty sectors of a layer's map as the index knows them now. Of a head under an overlay they lack what the
/// overlay hides, which nobody will read again.
LayeredStore::MapImage LayeredStore::capture(OpenLayer& layer, DirtySectors& dirty) {
  MapImage image{&layer, {}};
  for (const uint32_t number : dirty.take()) {
    MapSector& sector = image.sectors.emplace_back();
    const uint64_t first = uint64_t{number} * map_sector_blocks;
    const uint64_t end = std::min(first + map_sector_blocks, index_->block_count());
    std::array<Source, map_sector_blocks> memory;
    const std::span<Source> sources = std::span(memory).first(end - first);
    index_->copy_sources(first, sources);
    for (uint32_t i = 0; i < sources.size(); ++i)
      if (sources[i].slot() == layer.slot)
        set_states(sector, i, 1, sources[i].reads_zero() ? BlockState::zero : BlockState::data);
    seal(sector, number);
  }
  return image;
}

/// After a failed sync nobody knows what the disk holds: no write is accepted any more until the replica is opened
/// again.
void LayeredStore::fail(const std::string& what, Status status) {
  if (!failure_.empty()) return;
  failure_ = what + " of " + directory_ + " failed: " + status.message() +
             "; writes are refused until the volume is detached and attached again";
  on_event_({StoreEvent::Kind::failed, failure_});
}

}  // namespace cairn::store
