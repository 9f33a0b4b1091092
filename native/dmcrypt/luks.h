// LUKS2 headers, made and opened by libcryptsetup on a file in memory: no device-mapper, no root. All of it blocks, for
// a key is derived with Argon2id; it runs on threads that may.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/secure_memory.h"
#include "base/status.h"
#include "base/unique_fd.h"
#include "dmcrypt/crypt_device.h"

namespace cairn::dmcrypt {

/// Where the data of a device that is formatted here begins: cryptsetup's default.
inline constexpr uint64_t data_offset_default = 16 * mebibyte;
/// No header and its keyslots are larger (LUKS2 On-Disk Format 1.1: two of 4 MiB, and 128 MiB of keyslots).
inline constexpr uint64_t header_area_max = 136 * mebibyte;

using Passphrase = std::span<const std::byte>;

/// As large as the device whose beginning it holds a copy of, and with nothing behind that. In memory alone.
class HeaderFile {
 public:
  /// `area`: how much of the device's beginning it is about; nothing behind that is ever written back.
  static Result<HeaderFile> create(uint64_t device_size, uint64_t area = data_offset_default);

  int fd() const { return fd_.get(); }
  uint64_t area() const { return area_; }
  std::string path() const;

 private:
  HeaderFile(UniqueFd fd, uint64_t area) : fd_(std::move(fd)), area_(area) {}

  UniqueFd fd_;
  uint64_t area_;
};

struct LuksFormat {
  uint32_t sector_size = 4096;  // 512 or 4096
  bool allow_discards = true;
};

/// What a header says, but for the key.
struct LuksInfo {
  std::string uuid;
  CryptLayout layout;
  size_t key_slots = 0;  // in use
};

struct LuksUnlocked {
  LuksInfo info;
  SecureMemory volume_key;  // volume_key_size bytes
};

// Errors: WRONG_KEY when no key slot opens with the passphrase; HEADER_DAMAGED when neither copy of the header is
// whole, or there is none; ENCRYPTION_UNSUPPORTED for what other ciphers or an unfinished re-encryption of others need.
// One copy of two that is damaged is mended in the file; whoever compares sees it.

/// A new header with a new random volume key, and one key slot.
Result<LuksInfo> luks_format(const HeaderFile& file, const LuksFormat& format, Passphrase passphrase);
/// Needs no key.
Result<LuksInfo> luks_info(const HeaderFile& file);
Result<LuksUnlocked> luks_unlock(const HeaderFile& file, Passphrase passphrase);
/// One more key slot, for whoever knows one already.
Result<Unit> luks_add_key(const HeaderFile& file, Passphrase known, Passphrase added);
/// Every key slot that opens with it. INVALID_ARGUMENT when nothing else would open the device.
Result<Unit> luks_remove_key(const HeaderFile& file, Passphrase removed);

}  // namespace cairn::dmcrypt
