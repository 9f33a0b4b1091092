// What every use of libcryptsetup shares: its one lock, its context with the last error, and how keys are derived.
#pragma once

#include <libcryptsetup.h>

#include <memory>
#include <mutex>
#include <string>

#include "dmcrypt/luks.h"

namespace cairn::dmcrypt {

/// RFC 9106, section 4, the second recommended option, and one pass more, for libcryptsetup takes no fewer: 64 MiB, so
/// that a node can open many volumes when it starts.
inline constexpr crypt_pbkdf_type argon2id{.type = CRYPT_KDF_ARGON2ID,
                                           .hash = "sha256",
                                           .time_ms = 0,
                                           .iterations = 4,
                                           .max_memory_kb = 64 * 1024,
                                           .parallel_threads = 4,
                                           .flags = CRYPT_PBKDF_NO_BENCHMARK};

/// The library keeps state of the process (its random generator, its cryptographic back end): one call at a time.
std::mutex& library();

inline const char* chars(Passphrase passphrase) { return reinterpret_cast<const char*>(passphrase.data()); }

/// A context of the library about one file or block device, and the last error that it logged.
class Device {
 public:
  static Result<std::unique_ptr<Device>> open(const std::string& path);
  static Result<std::unique_ptr<Device>> open(const HeaderFile& file) { return open(file.path()); }
  /// With the LUKS2 header that is there. HEADER_DAMAGED when neither copy of it is whole.
  static Result<std::unique_ptr<Device>> load(const std::string& path);
  static Result<std::unique_ptr<Device>> load(const HeaderFile& file) { return load(file.path()); }

  crypt_device* get() const { return context_.get(); }
  /// WRONG_KEY, or the errno's code with what the library has logged.
  Error failed(const std::string& what, int result) const;

 private:
  struct Free {
    void operator()(crypt_device* device) const { crypt_free(device); }
  };
  static void remember(int level, const char* message, void* self);

  std::unique_ptr<crypt_device, Free> context_;
  std::string logged_;
};

}  // namespace cairn::dmcrypt
