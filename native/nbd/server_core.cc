#include "nbd/server_core.h"

#include <algorithm>

namespace cairn::nbd {

ServerCore::ServerCore(std::vector<Reactor*> reactors, const Limits& limits)
    : limits_(limits), tls_(std::make_shared<const TlsPolicy>()) {
  CAIRN_ASSERT(!reactors.empty());
  for (Reactor* reactor : reactors) branches_.push_back(std::make_unique<Branch>(*this, *reactor));
}

Branch& ServerCore::branch_of(const Reactor& reactor) {
  const auto found =
      std::ranges::find_if(branches_, [&reactor](const auto& branch) { return &branch->reactor() == &reactor; });
  CAIRN_ASSERT(found != branches_.end());
  return **found;
}

std::shared_ptr<const TlsPolicy> ServerCore::tls() const {
  std::lock_guard lock(tls_mutex_);
  return tls_;
}

void ServerCore::set_tls(std::shared_ptr<const TlsPolicy> policy) {
  std::lock_guard lock(tls_mutex_);
  tls_ = std::move(policy);
}

bool ServerCore::owns(const Reactor* reactor) const {
  return std::ranges::any_of(branches_, [reactor](const auto& branch) { return &branch->reactor() == reactor; });
}

void ServerCore::close(Completed done) {
  std::vector<ServerPart*> parts;
  for (const auto& branch : branches_) parts.push_back(branch.get());
  attendance_.close(std::move(parts), shared_from_this(), std::move(done));
}

}  // namespace cairn::nbd
