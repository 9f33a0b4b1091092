#include "block/memory_device.h"

#include <algorithm>

#include "base/limits.h"

namespace cairn {

MemoryDevice::MemoryDevice(uint64_t size, uint32_t logical_block_size) : content_(size) {
  geometry_.size = size;
  geometry_.logical_block_size = logical_block_size;
}

Task<Status> MemoryDevice::read(uint64_t offset, std::span<std::byte> into) {
  std::copy_n(content_.begin() + static_cast<ptrdiff_t>(offset), into.size(), into.begin());
  co_return Status();
}

Task<Status> MemoryDevice::write(uint64_t offset, std::span<const std::byte> from, Durability) {
  std::copy(from.begin(), from.end(), content_.begin() + static_cast<ptrdiff_t>(offset));
  co_return Status();
}

Task<Status> MemoryDevice::flush() { co_return Status(); }

Task<Status> MemoryDevice::trim(uint64_t offset, uint64_t length, Durability) {
  // Whole store blocks only, as the store does it, so that both read the same afterwards.
  const uint64_t first = (offset + store_block_size - 1) / store_block_size * store_block_size;
  const uint64_t end = (offset + length) / store_block_size * store_block_size;
  if (first < end) std::fill_n(content_.begin() + static_cast<ptrdiff_t>(first), end - first, std::byte{0});
  co_return Status();
}

Task<Status> MemoryDevice::write_zeroes(uint64_t offset, uint64_t length, ZeroMode, Durability) {
  std::fill_n(content_.begin() + static_cast<ptrdiff_t>(offset), length, std::byte{0});
  co_return Status();
}

Task<Status> MemoryDevice::block_status(uint64_t, uint64_t length, StatusQuery, size_t, std::vector<Extent>& extents) {
  extents.push_back({length, false, false});
  co_return Status();
}

}  // namespace cairn
