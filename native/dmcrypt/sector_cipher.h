// The cipher of an encrypted volume: AES-256-XTS of whole sectors, the tweak their number (dm-crypt's
// aes-xts-plain64).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/secure_memory.h"
#include "base/status.h"
#include "dmcrypt/xts_kernels.h"

namespace cairn::dmcrypt {

/// Both halves: for data, then for tweaks. They must differ (IEEE Std 1619-2018; FIPS 140-2 IG A.9).
inline constexpr size_t volume_key_size = 64;
using VolumeKey = std::span<const std::byte, volume_key_size>;

/// How it is computed. `openssl` works everywhere; it is also what the others are checked against.
enum class CipherPath : uint8_t { openssl, aes_ni, vaes };

/// Those that this processor has, the fastest first.
std::vector<CipherPath> cipher_paths();
const char* name_of(CipherPath path);

/// Not for several threads.
class SectorCipher {
 public:
  /// The key may be wiped afterwards. INVALID_ARGUMENT when its halves are alike; what SecureMemory says.
  static Result<std::unique_ptr<SectorCipher>> create(VolumeKey key, CipherPath path);
  virtual ~SectorCipher() = default;

  /// `from` and `to` hold `sectors.count` times `sectors.size` bytes; they are the same memory, or do not overlap.
  virtual void encrypt(const std::byte* from, std::byte* to, const Sectors& sectors) = 0;
  virtual void decrypt(const std::byte* from, std::byte* to, const Sectors& sectors) = 0;
};

/// The fastest path that computes what OpenSSL computes; asked once, the answer is kept. A processor (or an emulator)
/// that computes something else would destroy every volume.
Result<CipherPath> tested_cipher_path();
/// Compares a path with OpenSSL, in both directions, over sectors of both sizes. CIPHER_BROKEN when they differ.
Result<Unit> self_test(CipherPath path);

}  // namespace cairn::dmcrypt
