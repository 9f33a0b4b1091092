// Memory for keys: it is never swapped out, not part of a core dump, not seen by a forked child, and zeroed when given
// back.
#pragma once

#include <cstddef>
#include <span>
#include <utility>

#include "base/status.h"

namespace cairn {

/// Whole pages of their own. Moved, never copied.
class SecureMemory {
 public:
  SecureMemory() = default;
  /// `size` at least 1. An errno's code when the system grants no (locked) memory: ENOMEM or EPERM say that the limit
  /// of locked memory is to be raised.
  static Result<SecureMemory> create(size_t size);
  SecureMemory(SecureMemory&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  SecureMemory& operator=(SecureMemory&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~SecureMemory();

  bool valid() const { return data_ != nullptr; }
  std::span<std::byte> span() const { return {data_, size_}; }

 private:
  SecureMemory(std::byte* data, size_t size) : data_(data), size_(size) {}

  std::byte* data_ = nullptr;
  size_t size_ = 0;
};

/// Zeroes memory in a way that no compiler leaves out.
void wipe(std::span<std::byte> memory);

}  // namespace cairn
