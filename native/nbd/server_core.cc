#include "nbd/server_core.h"

#include <algorithm>

namespace cairn::nbd {

Presence::Presence(ServerCore& core, Kind kind) : core_(&core), kind_(kind) { core_->enter(kind_); }

void Presence::release() {
  if (core_ != nullptr) std::exchange(core_, nullptr)->leave(kind_);
}

ServerCore::ServerCore(std::vector<Reactor*> reactors, const Limits& limits)
    : limits_(limits), tls_(std::make_shared<const TlsPolicy>()) {
  CAIRN_ASSERT(!reactors.empty());
  for (Reactor* reactor : reactors) branches_.push_back(std::make_unique<Branch>(*this, *reactor));
}

ServerCore::~ServerCore() { CAIRN_ASSERT(present_ == 0 && unfinished_ == 0); }

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

void ServerCore::enter(Presence::Kind kind) {
  ++present_;
  if (kind == Presence::Kind::connection) ++connections_;
}

void ServerCore::leave(Presence::Kind kind) {
  if (kind == Presence::Kind::connection) --connections_;
  if (--present_ == 0) all_left();
}

void ServerCore::close(Completed done) {
  CAIRN_ASSERT(!closed_);
  closed_ = true;
  closed_done_ = std::move(done);
  self_ = shared_from_this();
  // Every branch has begun to close before the server itself leaves, so that nobody is present when the last one
  // leaves.
  unfinished_ = branches_.size();
  for (auto& branch : branches_) {
    branch->reactor().post([self = self_, &branch = *branch] {
      branch.close();
      if (--self->unfinished_ == 0) self->leave(Presence::Kind::other);
    });
  }
}

void ServerCore::all_left() {
  // Nobody is left to see the branches, but the coroutine that left last may still be on its reactor's stack.
  unfinished_ = branches_.size();
  for (auto& branch : branches_) {
    branch->reactor().post([self = self_, &branch = *branch] {
      branch.finish();
      if (--self->unfinished_ > 0) return;
      self->self_.reset();
      self->closed_done_(Unit{});
    });
  }
}

}  // namespace cairn::nbd
