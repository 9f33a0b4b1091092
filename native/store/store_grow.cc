// Growing a volume while it is used.
#include <algorithm>

#include "store/layered_store.h"

namespace cairn::store {

/// The head's files first, volume.json last: a crash in between leaves a head with room that nobody uses, of which the
/// next attempt makes the best. Frozen layers stay as they are: behind their end they say nothing.
Task<Result<Unit>> LayeredStore::resize(uint64_t size_bytes) {
  const AsyncMutex::Guard guard = co_await structure_.lock();
  if (size_bytes < metadata_.size_bytes)
    co_return Error{"INVALID_ARGUMENT", "a volume cannot be made smaller than it is"};
  if (size_bytes % store_block_size != 0 || size_bytes > volume_size_max)
    co_return Error{"INVALID_ARGUMENT", "the size must be a multiple of 4096 bytes, at most 64 TiB"};
  if (!failure_.empty()) co_return Error{"EIO", failure_};
  if (size_bytes == metadata_.size_bytes) co_return Unit{};

  VolumeMetadata next = metadata_;
  next.size_bytes = size_bytes;
  OpenLayer& layer = head();
  Result<Unit> grown = co_await Offload(blocking_, reactor_, [&] {
    Result<Unit> done = grow_layer(directory_, layer.number, layer.data.fd(), layer.map.fd(), next.block_count());
    return done.ok() ? grow_stamps(layer.number, next.block_count()) : done;
  });
  if (!grown.ok()) co_return grown;
  layer.block_count = std::max(layer.block_count, next.block_count());
  // Memory before the file: a size that is on the disk must be served.
  if (index_->block_count() < next.block_count() && !index_->grow(next.block_count()))
    co_return Error{"ENOMEM", "no memory for the index of so large a volume"};
  activity_.grow(next.size_bytes);
  dirty_.grow(next.block_count());
  overlay_dirty_.grow(next.block_count());
  co_return co_await replace_metadata(std::move(next));
}

}  // namespace cairn::store
