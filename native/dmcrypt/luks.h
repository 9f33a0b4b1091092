// LUKS2 headers, made and opened by libcryptsetup on a file in memory: no device-mapper, no root. All of it blocks, for
// a key is derived with Argon2id; it runs on threads that may.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

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

/// A change of the volume key, as a token of the header keeps it.
struct KeyChange {
  std::string id;        // whoever asked for it
  std::string snapshot;  // its name: what is as it was then has the older key. Empty: the change has ended
  std::string older;     // the id of that key
  bool running() const { return !snapshot.empty(); }
};

/// A key slot that opens the device.
struct LuksKeySlot {
  int number = 0;
  std::string derivation;   // "argon2id", "argon2i", "pbkdf2"
  uint32_t memory_kib = 0;  // 0: of pbkdf2
  uint32_t iterations = 0;
};

/// What a header says, but for the key.
struct LuksInfo {
  std::string uuid;
  CryptLayout layout;
  std::vector<LuksKeySlot> key_slots;
  std::string key_id;  // of the volume key: another one, another key
  std::optional<KeyChange> change;
};

struct LuksUnlocked {
  LuksInfo info;
  SecureMemory volume_key;  // volume_key_size bytes
  SecureMemory older_key;   // likewise, while a change is running
};

inline VolumeKey volume_key_of(const SecureMemory& memory) { return memory.span().first<volume_key_size>(); }

// Errors: WRONG_KEY when no key slot opens with the passphrase; HEADER_DAMAGED when neither copy of the header is
// whole, or there is none; ENCRYPTION_UNSUPPORTED for what other ciphers or an unfinished re-encryption of others need.
// One copy of two that is damaged is mended in the file; whoever compares sees it.

/// A new header with a new random volume key, and one key slot.
Result<LuksInfo> luks_format(const HeaderFile& file, const LuksFormat& format, Passphrase passphrase);
/// Needs no key.
Result<LuksInfo> luks_info(const HeaderFile& file);
Result<LuksUnlocked> luks_unlock(const HeaderFile& file, Passphrase passphrase);
/// One more key slot, for whoever knows one already. Nothing to do when one opens with `added`.
Result<Unit> luks_add_key(const HeaderFile& file, Passphrase known, Passphrase added);
/// A new random volume key, which the passphrase opens from then on, and no other. The slots of the older one stay, in
/// places of their own, and belong to no segment. `snapshot`: where what it has encrypted is.
Result<Unit> luks_begin_key_change(const HeaderFile& file, Passphrase passphrase, const std::string& id,
                                   const std::string& snapshot);
/// Nothing is encrypted with the older key any more. Needs no key.
Result<Unit> luks_end_key_change(const HeaderFile& file);
/// The slots of the older key of a change that has ended are destroyed. False: there were none.
Result<bool> luks_forget_older_key(const HeaderFile& file);
/// Every key slot that opens with `removed`. False: there was none. INVALID_ARGUMENT, and nothing is changed, when
/// `kept` would open none of the others.
Result<bool> luks_remove_key(const HeaderFile& file, Passphrase removed, Passphrase kept);

}  // namespace cairn::dmcrypt
