#include "iscsi/server_core.h"

namespace cairn::iscsi {

ServerCore::ServerCore(std::vector<Reactor*> reactors, const Limits& limits) : ServerBase("iSCSI"), limits_(limits) {
  CAIRN_ASSERT(!reactors.empty());
  for (Reactor* reactor : reactors) add_part(*branches_.emplace_back(std::make_unique<Branch>(*this, *reactor)));
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

}  // namespace cairn::iscsi
