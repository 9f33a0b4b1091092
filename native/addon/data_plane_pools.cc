// Devices of encrypted pools. They belong to the kernel: what is open stays so when this process ends.
#include "addon/data_plane.h"
#include "dmcrypt/kernel_device.h"

namespace cairn {

void DataPlane::on_key_thread(std::function<Result<Unit>()> work, Done<Unit> done) {
  keys_.run([this, work = std::move(work), done = std::move(done)] {
    control_([outcome = work(), done] { done(outcome); });
  });
}

void DataPlane::format_pool_device(const PoolDevice& device, SecureMemory passphrase, Done<Unit> done) {
  auto shared = std::make_shared<SecureMemory>(std::move(passphrase));
  on_key_thread([device, shared] { return dmcrypt::format_kernel_device(device.path, device.uuid, shared->span()); },
                std::move(done));
}

void DataPlane::open_pool_device(const PoolDevice& device, const std::string& mapping, SecureMemory passphrase,
                                 Done<Unit> done) {
  auto shared = std::make_shared<SecureMemory>(std::move(passphrase));
  on_key_thread([device, mapping,
                 shared] { return dmcrypt::open_kernel_device(device.path, device.uuid, mapping, shared->span()); },
                std::move(done));
}

void DataPlane::close_pool_device(const std::string& mapping, Done<Unit> done) {
  on_key_thread([mapping] { return dmcrypt::close_kernel_device(mapping); }, std::move(done));
}

}  // namespace cairn
