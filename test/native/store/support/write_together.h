#pragma once

#include "store/layered_store.h"

namespace cairn::test {

inline Detached write_into(store::LayeredStore& store, uint64_t offset, std::span<const std::byte> bytes,
                           store::PieceJoin& join) {
  join.done(co_await store.write(offset, bytes, Durability::buffered));
}

/// The same bytes over each of the first `count` blocks, all under way at once.
inline Task<Status> write_together(store::LayeredStore& store, std::span<const std::byte> bytes, uint64_t count) {
  store::PieceJoin join;
  for (uint64_t i = 0; i < count; ++i) {
    join.add();
    write_into(store, i * store_block_size, bytes, join);
  }
  co_return co_await join;
}

}  // namespace cairn::test
