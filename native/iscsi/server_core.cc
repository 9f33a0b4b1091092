#include "iscsi/server_core.h"

#include <algorithm>

namespace cairn::iscsi {

ServerCore::ServerCore(std::vector<Reactor*> reactors, const Limits& limits) : limits_(limits) {
  CAIRN_ASSERT(!reactors.empty());
  for (Reactor* reactor : reactors) branches_.push_back(std::make_unique<Branch>(*this, *reactor));
}

Branch& ServerCore::branch_of(const Reactor& reactor) {
  const auto found =
      std::ranges::find_if(branches_, [&reactor](const auto& branch) { return &branch->reactor() == &reactor; });
  CAIRN_ASSERT(found != branches_.end());
  return **found;
}

bool ServerCore::owns(const Reactor* reactor) const {
  return std::ranges::any_of(branches_, [reactor](const auto& branch) { return &branch->reactor() == reactor; });
}

Access ServerCore::discovery_access() const {
  std::lock_guard lock(settings_mutex_);
  return discovery_access_;
}

void ServerCore::set_discovery_access(Access access) {
  std::lock_guard lock(settings_mutex_);
  discovery_access_ = std::move(access);
}

std::vector<Portal> ServerCore::portals() const {
  std::lock_guard lock(settings_mutex_);
  return portals_;
}

void ServerCore::set_portals(std::vector<Portal> portals) {
  std::lock_guard lock(settings_mutex_);
  portals_ = std::move(portals);
}

void ServerCore::close(Completed done) {
  std::vector<ServerPart*> parts;
  for (const auto& branch : branches_) parts.push_back(branch.get());
  attendance_.close(std::move(parts), shared_from_this(), std::move(done));
}

}  // namespace cairn::iscsi
