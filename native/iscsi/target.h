#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "aio/offload.h"
#include "aio/wait.h"
#include "base/intrusive_list.h"
#include "iscsi/scsi/logical_unit.h"
#include "iscsi/server.h"
#include "iscsi/wire.h"

namespace cairn::iscsi {

class Session;

/// One target. Its name, alias and place are constant and read from every thread, its access under a lock; the rest is
/// its reactor's business.
class Target {
 public:
  Target(TargetOptions options, BlockingThread& blocking);
  ~Target();

  const std::string& name() const { return options_.name; }
  const std::string& alias() const { return options_.alias; }
  /// Null when the device is elsewhere.
  Reactor* reactor() const;
  const RemoteTarget* remote() const { return std::get_if<RemoteTarget>(&options_.target); }
  const MovedTarget* moved() const { return std::get_if<MovedTarget>(&options_.target); }
  Access access() const;
  void set_access(Access access);
  size_t session_count() const { return session_count_; }

  // On the target's reactor only, of a target that has one.
  /// Makes the logical unit, with what is kept of its reservations.
  Task<Result<Unit>> open();
  scsi::LogicalUnit& unit() { return *unit_; }
  bool crowded() const;
  WaitQueue::Wait room() const;
  InFlight& users() { return *users_; }
  IntrusiveList<Session>& sessions() { return sessions_; }
  /// The session of the same initiator port (RFC 7143 section 6.3.5), or null.
  Session* find_session(const std::string& initiator_name, const wire::Isid& isid);
  Session* find_session(uint16_t tsih);
  /// Of a new session: not 0, and no other one's.
  uint16_t new_tsih();
  /// Awaitable: a session has ended.
  WaitQueue::Wait session_ended() { return session_ended_->wait(); }
  bool removed() const { return removed_; }
  void set_removed() { removed_ = true; }

 private:
  friend class TargetUse;
  const LocalTarget& local() const { return std::get<LocalTarget>(options_.target); }

  TargetOptions options_;
  BlockingThread& blocking_;
  mutable std::mutex access_mutex_;
  std::unique_ptr<InFlight> users_;
  std::unique_ptr<WaitQueue> session_ended_;
  std::unique_ptr<scsi::LogicalUnit> unit_;
  IntrusiveList<Session> sessions_;
  uint16_t last_tsih_ = 0;
  bool removed_ = false;
  std::atomic<size_t> session_count_ = 0;
};

/// A session's hold on a target of its reactor: while one exists the device is in use.
class TargetUse {
 public:
  explicit TargetUse(std::shared_ptr<Target> held);
  TargetUse(TargetUse&&) = default;
  TargetUse& operator=(TargetUse&&) = delete;
  ~TargetUse();

  Target& operator*() const { return *held_; }
  Target* operator->() const { return held_.get(); }

 private:
  std::shared_ptr<Target> held_;
};

/// Targets by name; safe from every thread. Logins and discovery ask it, the data path never does.
class TargetTable {
 public:
  /// False when the name is taken.
  bool add(std::shared_ptr<Target> added);
  /// False when it is no longer there.
  bool remove(const Target& removed);
  /// Names are compared without regard to case (RFC 7143 section 4.2.7.2).
  std::shared_ptr<Target> find(const std::string& name) const;
  /// By name.
  std::vector<std::shared_ptr<Target>> list() const;

 private:
  mutable std::mutex mutex_;
  std::map<std::string, std::shared_ptr<Target>> by_name_;
};

}  // namespace cairn::iscsi
