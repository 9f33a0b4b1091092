#include "nbd/server_core.h"

namespace cairn::nbd {

ServerCore::ServerCore(std::vector<Reactor*> reactors, const Limits& limits)
    : ServerBase("NBD"), limits_(limits), tls_(std::make_shared<const TlsPolicy>()) {
  CAIRN_ASSERT(!reactors.empty());
  for (Reactor* reactor : reactors) add_part(*branches_.emplace_back(std::make_unique<Branch>(*this, *reactor)));
}

std::shared_ptr<const TlsPolicy> ServerCore::tls() const {
  std::lock_guard lock(tls_mutex_);
  return tls_;
}

void ServerCore::set_tls(std::shared_ptr<const TlsPolicy> policy) {
  std::lock_guard lock(tls_mutex_);
  tls_ = std::move(policy);
}

}  // namespace cairn::nbd
