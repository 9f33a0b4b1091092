#include "iscsi/scsi/identity.h"

#include <openssl/sha.h>

#include <algorithm>

namespace cairn::scsi {

std::string Identity::serial() const {
  static constexpr char digits[] = "0123456789abcdef";
  std::string text;
  for (const uint8_t byte : uuid) {
    text += digits[byte >> 4];
    text += digits[byte & 0xf];
  }
  return text;
}

std::array<uint8_t, 8> Identity::naa() const {
  std::array<uint8_t, SHA256_DIGEST_LENGTH> hash;
  SHA256(uuid.data(), uuid.size(), hash.data());
  std::array<uint8_t, 8> name;
  std::copy_n(hash.begin(), name.size(), name.begin());
  name[0] = 0x30 | (name[0] & 0x0f);
  return name;
}

}  // namespace cairn::scsi
