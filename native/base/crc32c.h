#pragma once

#include <cstddef>
#include <cstdint>

namespace cairn {

/// CRC32C (Castagnoli) as iSCSI and ext4 compute it: initial value and final complement included (RFC 3720 appendix
/// B.4).
uint32_t crc32c(const void* data, size_t length);

/// The same of data that come in pieces.
class Crc32c {
 public:
  void add(const void* data, size_t length);
  uint32_t value() const { return ~remainder_; }

 private:
  uint32_t remainder_ = ~0U;
};

}  // namespace cairn
