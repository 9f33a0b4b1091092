#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

#include "frontend/server_base.h"
#include "nbd/branch.h"
#include "nbd/export.h"
#include "nbd/server.h"
#include "nbd/tls_policy.h"

namespace cairn::nbd {

/// What a server's branches have in common, and how it ends.
class ServerCore final : public ServerBase {
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
  Branch& branch_of(const Reactor& reactor) { return *branches_[index_of(reactor)]; }
  size_t negotiations() const { return negotiations_; }
  void negotiation_started() { ++negotiations_; }
  void negotiation_ended() { --negotiations_; }

 private:
  const Limits limits_;
  mutable std::mutex tls_mutex_;
  std::shared_ptr<const TlsPolicy> tls_;
  std::atomic<size_t> next_branch_ = 0;
  ExportTable exports_;
  std::vector<std::unique_ptr<Branch>> branches_;
  std::atomic<size_t> negotiations_ = 0;
};

}  // namespace cairn::nbd
