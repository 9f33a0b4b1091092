#include "base/crc32c.h"

#include <isa-l/crc.h>

namespace cairn {

uint32_t crc32c(const void* data, size_t length) {
  Crc32c crc;
  crc.add(data, length);
  return crc.value();
}

void Crc32c::add(const void* data, size_t length) {
  // isa-l takes and returns the raw remainder, and does not write to the buffer in spite of its signature.
  auto* bytes = const_cast<unsigned char*>(static_cast<const unsigned char*>(data));
  remainder_ = crc32_iscsi(bytes, static_cast<int>(length), remainder_);
}

}  // namespace cairn
