// The definition here comes before the C library's for the program that it is linked into.
#include "test/native/store/support/scarce_memory.h"

#include <dlfcn.h>

#include <atomic>
#include <cerrno>
#include <cstddef>

namespace {
std::atomic<bool> none_left{false};
}

namespace cairn::test {
NoAlignedMemory::NoAlignedMemory() { none_left = true; }
NoAlignedMemory::~NoAlignedMemory() { none_left = false; }
}  // namespace cairn::test

extern "C" void* aligned_alloc(size_t alignment, size_t size) noexcept {
  static auto* const next = reinterpret_cast<void* (*)(size_t, size_t)>(::dlsym(RTLD_NEXT, "aligned_alloc"));
  if (!none_left) return next(alignment, size);
  errno = ENOMEM;
  return nullptr;
}
