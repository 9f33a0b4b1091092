// Big-endian integers in unaligned memory, as network protocols have them.
#pragma once

#include <endian.h>

#include <cstdint>
#include <cstring>

namespace cairn {

template <typename T>
T load_unaligned(const void* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}
inline uint16_t load_be16(const void* from) { return be16toh(load_unaligned<uint16_t>(from)); }
inline uint32_t load_be32(const void* from) { return be32toh(load_unaligned<uint32_t>(from)); }
inline uint64_t load_be64(const void* from) { return be64toh(load_unaligned<uint64_t>(from)); }

inline void store_be16(void* to, uint16_t value) {
  value = htobe16(value);
  std::memcpy(to, &value, sizeof value);
}
inline void store_be32(void* to, uint32_t value) {
  value = htobe32(value);
  std::memcpy(to, &value, sizeof value);
}
inline void store_be64(void* to, uint64_t value) {
  value = htobe64(value);
  std::memcpy(to, &value, sizeof value);
}

}  // namespace cairn
