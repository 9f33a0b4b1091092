// What the structures of the formats have in common: a checksum of the bytes before it at their end, and nothing but
// zeros where nobody wrote.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/crc32c.h"

namespace cairn::store {

template <typename Sealed>
uint32_t checksum_of(const Sealed& sealed) {
  static_assert(offsetof(Sealed, checksum) + sizeof sealed.checksum == sizeof(Sealed));
  return crc32c(&sealed, offsetof(Sealed, checksum));
}

/// Of a structure with its checksum at the front: all of it, that field zero.
template <typename Sealed>
uint32_t whole_checksum_of(Sealed copy) {
  copy.checksum = 0;
  return crc32c(&copy, sizeof copy);
}

template <typename Sealed>
bool all_zero(const Sealed& sealed) {
  static const Sealed zero;
  return std::memcmp(&sealed, &zero, sizeof zero) == 0;
}

}  // namespace cairn::store
