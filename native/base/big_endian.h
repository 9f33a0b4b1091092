// Big-endian fields of wire structures: no alignment, so that a structure can be laid over received bytes.
#pragma once

#include <cstdint>
#include <span>
#include <type_traits>

#include "base/byte_order.h"

namespace cairn {

template <typename T>
class BigEndian {
 public:
  using Value = T;
  BigEndian() = default;
  BigEndian(T value) { *this = value; }
  BigEndian& operator=(T value) {
    if constexpr (sizeof(T) == 2) store_be16(bytes_, value);
    if constexpr (sizeof(T) == 4) store_be32(bytes_, value);
    if constexpr (sizeof(T) == 8) store_be64(bytes_, value);
    return *this;
  }
  operator T() const {
    if constexpr (sizeof(T) == 2) return load_be16(bytes_);
    if constexpr (sizeof(T) == 4) return load_be32(bytes_);
    if constexpr (sizeof(T) == 8) return load_be64(bytes_);
  }

 private:
  uint8_t bytes_[sizeof(T)];
};

template <typename T>
std::span<const std::byte> bytes_of(const T& structure) {
  static_assert(std::is_trivially_copyable_v<T> && alignof(T) == 1);
  return std::as_bytes(std::span(&structure, 1));
}

}  // namespace cairn
