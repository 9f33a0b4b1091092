#pragma once

#include <cstddef>
#include <cstdlib>
#include <span>
#include <utility>

#include "base/limits.h"

namespace cairn {

/// Memory that direct I/O takes, for what has no pool buffer: odd requests, background copies.
class AlignedMemory {
 public:
  /// `size`: a multiple of the store's block size.
  explicit AlignedMemory(size_t size)
      : data_(static_cast<std::byte*>(std::aligned_alloc(store_block_size, size))),
        size_(data_ == nullptr ? 0 : size) {}
  ~AlignedMemory() { std::free(data_); }
  AlignedMemory(AlignedMemory&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  AlignedMemory& operator=(AlignedMemory&&) = delete;

  bool valid() const { return data_ != nullptr; }
  std::span<std::byte> span() const { return {data_, size_}; }

 private:
  std::byte* data_;
  size_t size_;
};

}  // namespace cairn
