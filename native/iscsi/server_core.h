#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

#include "aio/offload.h"
#include "frontend/presence.h"
#include "iscsi/branch.h"
#include "iscsi/server.h"
#include "iscsi/target.h"

namespace cairn::iscsi {

/// What a server's branches have in common, and how it ends.
class ServerCore : public std::enable_shared_from_this<ServerCore> {
 public:
  ServerCore(std::vector<Reactor*> reactors, const Limits& limits);

  const Limits& limits() const { return limits_; }
  BlockingThread& blocking() { return blocking_; }
  TargetTable& targets() { return targets_; }
  const TargetTable& targets() const { return targets_; }
  Branch& first() { return *branches_.front(); }
  Branch& branch_of(const Reactor& reactor);
  bool owns(const Reactor* reactor) const;

  // From any thread.
  Access discovery_access() const;
  void set_discovery_access(Access access);
  std::vector<Portal> portals() const;
  void set_portals(std::vector<Portal> portals);

  Attendance& attendance() { return attendance_; }
  /// One that is not counted as a connection.
  Presence presence() { return Presence(attendance_, Presence::Kind::other); }
  Presence connection_presence() { return Presence(attendance_, Presence::Kind::connection); }
  size_t connections() const { return attendance_.connections(); }
  size_t logins() const { return logins_; }
  void login_started() { ++logins_; }
  void login_ended() { --logins_; }
  bool closed() const { return attendance_.closed(); }
  /// On the control thread, once.
  void close(Completed done);

 private:
  const Limits limits_;
  BlockingThread blocking_;
  TargetTable targets_;
  mutable std::mutex settings_mutex_;
  Access discovery_access_;
  std::vector<Portal> portals_;
  std::vector<std::unique_ptr<Branch>> branches_;
  std::atomic<size_t> logins_ = 0;
  Attendance attendance_;
};

}  // namespace cairn::iscsi
