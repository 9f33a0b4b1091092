#pragma once

#include <cstddef>

namespace cairn {

/// Memory for coroutine frames: freed frames are kept in per-thread lists by size, so a steady load allocates nothing.
void* allocate_frame(size_t size);
void free_frame(void* frame, size_t size);

}  // namespace cairn
