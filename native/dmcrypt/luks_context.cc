#include "dmcrypt/luks_context.h"

namespace cairn::dmcrypt {

std::mutex& library() {
  static std::mutex mutex;
  return mutex;
}

Result<std::unique_ptr<Device>> Device::open(const std::string& path) {
  auto device = std::make_unique<Device>();
  crypt_device* context = nullptr;
  const int result = crypt_init(&context, path.c_str());
  if (result < 0) return Error{errno_code(-result), "libcryptsetup cannot use " + path + ": " + std::strerror(-result)};
  device->context_.reset(context);
  crypt_set_log_callback(context, remember, device.get());
  return device;
}

Result<std::unique_ptr<Device>> Device::load(const std::string& path) {
  Result<std::unique_ptr<Device>> device = open(path);
  if (!device.ok()) return device;
  if (crypt_load(device.value()->get(), CRYPT_LUKS2, nullptr) < 0)
    return Error{"HEADER_DAMAGED",
                 "neither copy of the LUKS2 header is whole: restore the last backup of it with cairn header restore"};
  return device;
}

Error Device::failed(const std::string& what, int result) const {
  if (result == -EPERM) return {"WRONG_KEY", "no key slot opens with this passphrase"};
  return {errno_code(-result), what + " failed: " + (logged_.empty() ? std::strerror(-result) : logged_)};
}

void Device::remember(int level, const char* message, void* self) {
  if (level != CRYPT_LOG_ERROR) return;
  std::string& logged = static_cast<Device*>(self)->logged_;
  logged = message;
  while (!logged.empty() && logged.back() == '\n') logged.pop_back();
}

}  // namespace cairn::dmcrypt
