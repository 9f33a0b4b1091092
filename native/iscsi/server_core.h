#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

#include "aio/offload.h"
#include "frontend/server_base.h"
#include "iscsi/branch.h"
#include "iscsi/server.h"
#include "iscsi/target.h"

namespace cairn::iscsi {

/// What a server's branches have in common, and how it ends.
class ServerCore final : public ServerBase {
 public:
  ServerCore(std::vector<Reactor*> reactors, const Limits& limits);

  const Limits& limits() const { return limits_; }
  BlockingThread& blocking() { return blocking_; }
  TargetTable& targets() { return targets_; }
  const TargetTable& targets() const { return targets_; }
  Branch& first() { return *branches_.front(); }
  Branch& branch_of(const Reactor& reactor) { return *branches_[index_of(reactor)]; }

  // From any thread.
  Access discovery_access() const;
  void set_discovery_access(Access access);
  std::vector<Portal> portals() const;
  void set_portals(std::vector<Portal> portals);

  size_t logins() const { return logins_; }
  void login_started() { ++logins_; }
  void login_ended() { --logins_; }

 private:
  const Limits limits_;
  BlockingThread blocking_;
  TargetTable targets_;
  mutable std::mutex settings_mutex_;
  Access discovery_access_;
  std::vector<Portal> portals_;
  std::vector<std::unique_ptr<Branch>> branches_;
  std::atomic<size_t> logins_ = 0;
};

}  // namespace cairn::iscsi
