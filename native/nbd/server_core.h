#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

#include "frontend/presence.h"
#include "nbd/branch.h"
#include "nbd/export.h"
#include "nbd/server.h"
#include "nbd/tls_policy.h"

namespace cairn::nbd {

/// What a server's branches have in common, and how it ends.
class ServerCore : public std::enable_shared_from_this<ServerCore> {
 public:
  ServerCore(std::vector<Reactor*> reactors, const Limits& limits);

  const Limits& limits() const { return limits_; }
  const TimeLimits& times() const { return limits_.times; }
  /// From any thread; what a connection is accepted with stays with it.
  std::shared_ptr<const TlsPolicy> tls() const;
  void set_tls(std::shared_ptr<const TlsPolicy> policy);
  /// The branches in turn: where the work of TLS is done.
  Branch& next_branch() { return *branches_[next_branch_++ % branches_.size()]; }
  ExportTable& exports() { return exports_; }
  const ExportTable& exports() const { return exports_; }
  Branch& first() { return *branches_.front(); }
  Branch& branch_of(const Reactor& reactor);
  bool owns(const Reactor* reactor) const;
  /// Handshakes and sessions of all reactors.
  size_t connections() const { return attendance_.connections(); }
  size_t negotiations() const { return negotiations_; }
  void negotiation_started() { ++negotiations_; }
  void negotiation_ended() { --negotiations_; }

  Attendance& attendance() { return attendance_; }
  /// One that is not counted as a connection.
  Presence presence() { return Presence(attendance_, Presence::Kind::other); }
  bool closed() const { return attendance_.closed(); }
  /// On the control thread, once.
  void close(Completed done);

 private:
  const Limits limits_;
  mutable std::mutex tls_mutex_;
  std::shared_ptr<const TlsPolicy> tls_;
  std::atomic<size_t> next_branch_ = 0;
  ExportTable exports_;
  std::vector<std::unique_ptr<Branch>> branches_;
  std::atomic<size_t> negotiations_ = 0;
  Attendance attendance_;
};

}  // namespace cairn::nbd
