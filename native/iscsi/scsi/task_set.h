#pragma once

#include "aio/wait.h"

namespace cairn::scsi {

/// SAM-5 section 8.6.
enum class TaskAttribute : uint8_t { simple, ordered, head_of_queue };

/// The order in which the commands of a logical unit run, whoever they come from: an ordered one when all before it are
/// done, and none behind it before it is. While none is ordered, a command passes at the price of a branch.
class TaskSet {
 public:
  explicit TaskSet(ReadyQueue& ready) : ready_(ready) {}

  /// Awaitable; in the set from when it resumes until it is destroyed. Who is not in it holds nothing that others need:
  /// one that is ordered may need it too, and those behind wait for that one.
  class Place : public Waiter {
   public:
    Place(TaskSet& set, TaskAttribute attribute) : set_(set), attribute_(attribute) {}
    ~Place() {
      if (entered_) set_.leave(*this);
    }
    Place(const Place&) = delete;
    /// Without waiting; whether it is in the set.
    bool try_enter() {
      if (entered_) return true;
      entered_ = attribute_ == TaskAttribute::head_of_queue || (set_.waiting_.empty() && set_.admits(*this));
      if (entered_) set_.enter(*this);
      return entered_;
    }
    bool await_ready() { return try_enter(); }
    void await_suspend(std::coroutine_handle<> waiting) {
      handle = waiting;
      set_.waiting_.push_back(this);
    }
    void await_resume() const noexcept { CAIRN_ASSERT(entered_); }

   private:
    friend class TaskSet;
    TaskSet& set_;
    TaskAttribute attribute_;
    bool entered_ = false;
  };

 private:
  bool admits(const Place& place) const {
    return place.attribute_ == TaskAttribute::ordered ? running_ == 0 : !ordered_runs_;
  }
  void enter(const Place& place) {
    ++running_;
    if (place.attribute_ == TaskAttribute::ordered) ordered_runs_ = true;
  }
  void leave(const Place& place) {
    --running_;
    if (place.attribute_ == TaskAttribute::ordered) ordered_runs_ = false;
    while (Waiter* first = waiting_.front()) {
      auto* next = static_cast<Place*>(first);
      if (!admits(*next)) return;
      waiting_.pop_front();
      next->entered_ = true;
      enter(*next);
      ready_.push(next);
    }
  }

  ReadyQueue& ready_;
  size_t running_ = 0;
  bool ordered_runs_ = false;
  IntrusiveList<Waiter> waiting_;
};

}  // namespace cairn::scsi
