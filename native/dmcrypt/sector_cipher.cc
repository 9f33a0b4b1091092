#include "dmcrypt/sector_cipher.h"

#include <openssl/evp.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include <algorithm>
#include <array>
#include <cstring>

namespace cairn::dmcrypt {
namespace {

/// What libcrypto keeps of the key lies in its own memory, zeroed when freed but not locked.
class OpenSslCipher final : public SectorCipher {
 public:
  static Result<std::unique_ptr<SectorCipher>> create(VolumeKey key) {
    auto cipher = std::make_unique<OpenSslCipher>();
    const auto* bytes = reinterpret_cast<const unsigned char*>(key.data());
    if (EVP_EncryptInit_ex(cipher->encrypt_.get(), EVP_aes_256_xts(), nullptr, bytes, nullptr) != 1 ||
        EVP_DecryptInit_ex(cipher->decrypt_.get(), EVP_aes_256_xts(), nullptr, bytes, nullptr) != 1)
      return Error{"CIPHER_BROKEN", "OpenSSL has no AES-256-XTS"};
    return std::unique_ptr<SectorCipher>(std::move(cipher));
  }

  void encrypt(const std::byte* from, std::byte* to, const Sectors& sectors) override {
    run(encrypt_.get(), from, to, sectors);
  }
  void decrypt(const std::byte* from, std::byte* to, const Sectors& sectors) override {
    run(decrypt_.get(), from, to, sectors);
  }

 private:
  struct Free {
    void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
  };
  using Context = std::unique_ptr<EVP_CIPHER_CTX, Free>;

  static void run(EVP_CIPHER_CTX* context, const std::byte* from, std::byte* to, const Sectors& sectors) {
    for (size_t i = 0; i < sectors.count; ++i) {
      std::array<unsigned char, 16> tweak{};
      const uint64_t number = sectors.tweak + i * sectors.step;
      for (size_t byte = 0; byte < sizeof number; ++byte)
        tweak[byte] = static_cast<unsigned char>(number >> (8 * byte));
      int written = 0;
      const bool done = EVP_CipherInit_ex(context, nullptr, nullptr, nullptr, tweak.data(), -1) == 1 &&
                        EVP_CipherUpdate(context, reinterpret_cast<unsigned char*>(to + i * sectors.size), &written,
                                         reinterpret_cast<const unsigned char*>(from + i * sectors.size),
                                         static_cast<int>(sectors.size)) == 1;
      CAIRN_ASSERT(done && written == static_cast<int>(sectors.size));
    }
  }

  Context encrypt_{EVP_CIPHER_CTX_new()};
  Context decrypt_{EVP_CIPHER_CTX_new()};
};

#if defined(__x86_64__)

using Kernel = void (*)(const AesSchedule&, const unsigned char*, unsigned char*, const Sectors&);

class KernelCipher final : public SectorCipher {
 public:
  static Result<std::unique_ptr<SectorCipher>> create(VolumeKey key, Kernel encrypting, Kernel decrypting) {
    Result<SecureMemory> memory = SecureMemory::create(sizeof(AesSchedule));
    if (!memory.ok()) return memory.error();
    auto cipher = std::make_unique<KernelCipher>(std::move(memory.value()), encrypting, decrypting);
    aes_ni_expand(reinterpret_cast<const unsigned char*>(key.data()), cipher->schedule_);
    return std::unique_ptr<SectorCipher>(std::move(cipher));
  }

  KernelCipher(SecureMemory memory, Kernel encrypting, Kernel decrypting)
      : memory_(std::move(memory)),
        schedule_(*reinterpret_cast<AesSchedule*>(memory_.span().data())),
        encrypt_(encrypting),
        decrypt_(decrypting) {}

  void encrypt(const std::byte* from, std::byte* to, const Sectors& sectors) override {
    encrypt_(schedule_, reinterpret_cast<const unsigned char*>(from), reinterpret_cast<unsigned char*>(to), sectors);
  }
  void decrypt(const std::byte* from, std::byte* to, const Sectors& sectors) override {
    decrypt_(schedule_, reinterpret_cast<const unsigned char*>(from), reinterpret_cast<unsigned char*>(to), sectors);
  }

 private:
  SecureMemory memory_;
  AesSchedule& schedule_;
  Kernel encrypt_;
  Kernel decrypt_;
};

bool has_aes_ni() { return __builtin_cpu_supports("aes") && __builtin_cpu_supports("sse4.1"); }

/// Whether the system keeps the wide registers is in the answer about AVX-512.
bool has_vaes() {
  constexpr unsigned vaes = 1U << 9U;  // leaf 7, ECX: Clang 14 has no name for it
  unsigned eax = 0;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
  const bool named = __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) != 0 && (ecx & vaes) != 0;
  return named && has_aes_ni() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("vpclmulqdq");
}

#endif

bool differ(VolumeKey key) {
  const auto half = key.size() / 2;
  return std::memcmp(key.data(), key.data() + half, half) != 0;
}

/// Bytes that look random and are the same every time (xorshift, Marsaglia 2003).
void fill(std::span<std::byte> bytes, uint64_t seed) {
  for (std::byte& byte : bytes) {
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    byte = static_cast<std::byte>(seed >> 32);
  }
}

constexpr size_t tested_bytes = 64 * 1024;

bool agree(SectorCipher& tested, SectorCipher& reference, const Sectors& sectors) {
  const size_t length = sectors.count * sectors.size;
  std::vector<std::byte> plain(length), one(length), other(length);
  fill(plain, 0x9e3779b97f4a7c15 + sectors.size);
  tested.encrypt(plain.data(), one.data(), sectors);
  reference.encrypt(plain.data(), other.data(), sectors);
  if (one != other) return false;
  tested.decrypt(one.data(), one.data(), sectors);
  return one == plain;
}

}  // namespace

std::vector<CipherPath> cipher_paths() {
  std::vector<CipherPath> paths;
#if defined(__x86_64__)
  if (has_vaes()) paths.push_back(CipherPath::vaes);
  if (has_aes_ni()) paths.push_back(CipherPath::aes_ni);
#endif
  paths.push_back(CipherPath::openssl);
  return paths;
}

const char* name_of(CipherPath path) {
  switch (path) {
    case CipherPath::openssl:
      return "openssl";
    case CipherPath::aes_ni:
      return "aes-ni";
    case CipherPath::vaes:
      return "vaes";
  }
  return "";
}

Result<std::unique_ptr<SectorCipher>> SectorCipher::create(VolumeKey key, CipherPath path) {
  if (!differ(key)) return Error{"INVALID_ARGUMENT", "both halves of an XTS key are alike: that is no key"};
#if defined(__x86_64__)
  if (path == CipherPath::vaes) return KernelCipher::create(key, vaes_encrypt, vaes_decrypt);
  if (path == CipherPath::aes_ni) return KernelCipher::create(key, aes_ni_encrypt, aes_ni_decrypt);
#endif
  return OpenSslCipher::create(key);
}

Result<Unit> self_test(CipherPath path) {
  std::array<std::byte, volume_key_size> key;
  fill(key, 0x2545f4914f6cdd1d);
  Result<std::unique_ptr<SectorCipher>> tested = SectorCipher::create(key, path);
  if (!tested.ok()) return tested.error();
  Result<std::unique_ptr<SectorCipher>> reference = SectorCipher::create(key, CipherPath::openssl);
  if (!reference.ok()) return reference.error();
  // The tweak's carries, numbers beyond 32 bits, dm-crypt's steps of 8, and counts that fill no register.
  for (const Sectors& sectors : {Sectors{512, 0xfffffffe, 1, tested_bytes / 512 - 1},
                                 Sectors{4096, 0x123456789abcdef0, 8, tested_bytes / 4096 - 1}, Sectors{4096, 0, 1, 1},
                                 Sectors{1024, ~uint64_t{1}, 2, 5}})
    if (!agree(*tested.value(), *reference.value(), sectors))
      return Error{"CIPHER_BROKEN", std::string("AES-XTS by ") + name_of(path) +
                                        " does not compute what OpenSSL computes: this processor cannot be trusted"};
  return Unit{};
}

Result<CipherPath> tested_cipher_path() {
  static const Result<CipherPath> chosen = []() -> Result<CipherPath> {
    const CipherPath fastest = cipher_paths().front();
    const Result<Unit> tested = self_test(fastest);
    if (!tested.ok()) return tested.error();
    return fastest;
  }();
  return chosen;
}

}  // namespace cairn::dmcrypt
