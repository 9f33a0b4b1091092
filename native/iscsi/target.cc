#include "iscsi/target.h"

#include "iscsi/login/iscsi_name.h"
#include "iscsi/session/session.h"

namespace cairn::iscsi {
// ---- Target ---------------------------------------------------------------------------------------------------------

Target::Target(TargetOptions options, BlockingThread& blocking) : options_(std::move(options)), blocking_(blocking) {
  if (Reactor* owner = reactor()) {
    users_ = std::make_unique<InFlight>(owner->ready());
    session_ended_ = std::make_unique<WaitQueue>(owner->ready());
  }
}

Target::~Target() = default;

Reactor* Target::reactor() const {
  const auto* here = std::get_if<LocalTarget>(&options_.target);
  return here != nullptr ? here->reactor : nullptr;
}

Access Target::access() const {
  std::lock_guard lock(access_mutex_);
  return options_.access;
}

void Target::set_access(Access access) {
  std::lock_guard lock(access_mutex_);
  options_.access = std::move(access);
}

Task<Result<Unit>> Target::open() {
  unit_ = std::make_unique<scsi::LogicalUnit>(scsi::LogicalUnitOptions{.reactor = *local().reactor,
                                                                       .device = *local().device,
                                                                       .blocking = blocking_,
                                                                       .identity = local().identity,
                                                                       .read_only = options_.read_only,
                                                                       .reservations_path = local().reservations_path});
  return unit_->open();
}

bool Target::crowded() const { return local().admission != nullptr && local().admission->crowded(); }

WaitQueue::Wait Target::room() const { return local().admission->room(); }

Session* Target::find_session(const std::string& initiator_name, const wire::Isid& isid) {
  return sessions_.find([&](const Session* session) {
    return session->parameters().isid == isid && session->parameters().initiator_name == initiator_name;
  });
}

Session* Target::find_session(uint16_t tsih) {
  return sessions_.find([tsih](const Session* session) { return session->parameters().tsih == tsih; });
}

uint16_t Target::new_tsih() {
  do {
    ++last_tsih_;
  } while (last_tsih_ == 0 || find_session(last_tsih_) != nullptr);
  return last_tsih_;
}

// ---- Use ------------------------------------------------------------------------------------------------------------

TargetUse::TargetUse(std::shared_ptr<Target> held) : held_(std::move(held)) {
  held_->users().add();
  ++held_->session_count_;
}

TargetUse::~TargetUse() {
  if (held_ == nullptr) return;  // moved from
  --held_->session_count_;
  held_->session_ended_->wake_all();
  held_->users().remove();
}

// ---- Table ----------------------------------------------------------------------------------------------------------

bool TargetTable::add(std::shared_ptr<Target> added) {
  std::lock_guard lock(mutex_);
  std::string name = lower_case(added->name());
  return by_name_.try_emplace(std::move(name), std::move(added)).second;
}

bool TargetTable::remove(const Target& removed) {
  std::lock_guard lock(mutex_);
  const auto found = by_name_.find(lower_case(removed.name()));
  if (found == by_name_.end() || found->second.get() != &removed) return false;
  by_name_.erase(found);
  return true;
}

std::shared_ptr<Target> TargetTable::find(const std::string& name) const {
  std::lock_guard lock(mutex_);
  const auto found = by_name_.find(lower_case(name));
  return found == by_name_.end() ? nullptr : found->second;
}

std::vector<std::shared_ptr<Target>> TargetTable::list() const {
  std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<Target>> all;
  for (const auto& [name, target] : by_name_) all.push_back(target);
  return all;
}

}  // namespace cairn::iscsi
