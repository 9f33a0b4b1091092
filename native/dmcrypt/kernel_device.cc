#include "dmcrypt/kernel_device.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#include "base/unique_fd.h"
#include "dmcrypt/luks_context.h"

namespace cairn::dmcrypt {
namespace {

constexpr uint32_t small_sector = 512;
constexpr uint32_t large_sector = 4096;

/// What the device writes at once, if the cipher knows it: a smaller sector would make it read before it writes.
Result<uint32_t> sector_size_of(const std::string& device) {
  const UniqueFd fd(::open(device.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return system_error("open", device, errno);
  unsigned physical = 0;
  uint64_t size = 0;
  if (::ioctl(fd.get(), BLKPBSZGET, &physical) != 0 || ::ioctl(fd.get(), BLKGETSIZE64, &size) != 0)
    return system_error("ask for the sectors of", device, errno);
  return physical >= large_sector && size % large_sector == 0 ? large_sector : small_sector;
}

/// An earlier attempt has come to its end, or the device has been in use for years: its content is not to be lost.
bool is_formatted(const std::string& path, const std::string& uuid) {
  const Result<std::unique_ptr<Device>> loaded = Device::load(path);
  if (!loaded.ok()) return false;
  crypt_device* context = loaded.value()->get();
  const char* found = crypt_get_uuid(context);
  if (found == nullptr || found != uuid) return false;
  for (int slot = 0; slot < crypt_keyslot_max(CRYPT_LUKS2); ++slot)
    if (crypt_keyslot_status(context, slot) >= CRYPT_SLOT_ACTIVE) return true;
  return false;
}

Error failure(const Device& device, const std::string& what, int result) {
  Error error = device.failed(what, result);
  if (result == -EBUSY || result == -EEXIST) error.code = "DEVICE_IN_USE";
  if (result == -ENOTSUP || result == -ENOTBLK) error.code = "DEVICE_MAPPER_MISSING";
  return error;
}

}  // namespace

Result<Unit> format_kernel_device(const std::string& path, const std::string& uuid, Passphrase passphrase) {
  const Result<uint32_t> sector_size = sector_size_of(path);
  if (!sector_size.ok()) return sector_size.error();
  const std::lock_guard lock(library());
  if (is_formatted(path, uuid)) return Unit{};
  Result<std::unique_ptr<Device>> opened = Device::open(path);
  if (!opened.ok()) return opened.error();
  const Device& device = *opened.value();
  crypt_params_luks2 parameters{};
  parameters.pbkdf = &argon2id;
  parameters.sector_size = sector_size.value();
  int result = crypt_format(device.get(), CRYPT_LUKS2, "aes", "xts-plain64", uuid.c_str(), nullptr, volume_key_size,
                            &parameters);
  if (result < 0) return failure(device, "formatting " + path, result);
  // Before the key slot: a device that its passphrase opens has all that it needs.
  result = crypt_persistent_flags_set(device.get(), CRYPT_FLAGS_ACTIVATION, CRYPT_ACTIVATE_ALLOW_DISCARDS);
  if (result < 0) return failure(device, "allowing discards of " + path, result);
  result = crypt_keyslot_add_by_volume_key(device.get(), CRYPT_ANY_SLOT, nullptr, volume_key_size, chars(passphrase),
                                           passphrase.size());
  if (result < 0) return failure(device, "adding a key slot to " + path, result);
  return Unit{};
}

Result<Unit> open_kernel_device(const std::string& path, const std::string& uuid, const std::string& mapping,
                                Passphrase passphrase) {
  const std::lock_guard lock(library());
  Result<std::unique_ptr<Device>> loaded = Device::load(path);
  if (!loaded.ok()) return loaded.error();
  const Device& device = *loaded.value();
  const char* found = crypt_get_uuid(device.get());
  if (found == nullptr || found != uuid)
    return Error{"DEVICE_MISSING", path + " is not the LUKS2 device " + uuid + " any more"};
  const int slot = crypt_activate_by_passphrase(device.get(), mapping.c_str(), CRYPT_ANY_SLOT, chars(passphrase),
                                                passphrase.size(), 0);
  if (slot < 0) return failure(device, "opening " + path, slot);
  return Unit{};
}

Result<Unit> close_kernel_device(const std::string& mapping) {
  const std::lock_guard lock(library());
  crypt_device* context = nullptr;
  if (crypt_init_by_name(&context, mapping.c_str()) < 0) return Unit{};
  const int result = crypt_deactivate(context, mapping.c_str());
  crypt_free(context);
  if (result == 0 || result == -ENODEV) return Unit{};
  if (result == -EBUSY) return Error{"DEVICE_IN_USE", "the mapping " + mapping + " is in use"};
  return system_error("close the mapping", mapping, -result);
}

}  // namespace cairn::dmcrypt
