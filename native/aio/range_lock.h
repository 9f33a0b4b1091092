#pragma once

#include "aio/ready_queue.h"

namespace cairn {

/// Keeps operations apart that must not meet on a block. Writes of whole blocks share (the order of two that overlap is
/// nobody's promise); merging part of a block, trimming and moving blocks exclude. Uncontended, taking it is two
/// pointer stores and a branch: nothing is looked up until somebody excludes.
class RangeLock {
 public:
  enum class Mode : uint8_t { shared, exclusive };

  explicit RangeLock(ReadyQueue& ready) : ready_(ready) {}

  /// Awaitable; holds blocks [first, end) from when it resumes until it is destroyed.
  class Hold : public ListLink {
   public:
    Hold(RangeLock& lock, uint64_t first, uint64_t end, Mode mode)
        : lock_(lock), first_(first), end_(end), mode_(mode) {}
    ~Hold() {
      if (linked()) lock_.release(this);
    }
    bool await_ready() { return lock_.try_hold(this); }
    void await_suspend(std::coroutine_handle<> waiting) {
      waiter_.handle = waiting;
      lock_.waiting_.push_back(this);
    }
    void await_resume() const noexcept { CAIRN_ASSERT(linked()); }

   private:
    friend class RangeLock;
    bool conflicts(const Hold& other) const {
      return first_ < other.end_ && other.first_ < end_ && (mode_ == Mode::exclusive || other.mode_ == Mode::exclusive);
    }
    RangeLock& lock_;
    Waiter waiter_;
    uint64_t first_;
    uint64_t end_;
    Mode mode_;
  };

 private:
  bool try_hold(Hold* hold) {
    if (exclusive_count_ > 0 || hold->mode_ == Mode::exclusive) {
      const auto conflicts = [hold](const Hold* other) { return hold->conflicts(*other); };
      // Those that wait are asked too: nobody overtakes, so nobody starves.
      if (held_.find(conflicts) != nullptr || waiting_.find(conflicts) != nullptr) {
        if (hold->mode_ == Mode::exclusive) ++exclusive_count_;
        return false;
      }
      if (hold->mode_ == Mode::exclusive) ++exclusive_count_;
    }
    held_.push_back(hold);
    return true;
  }

  void release(Hold* hold) {
    hold->unlink();
    if (hold->mode_ == Mode::exclusive) --exclusive_count_;
    if (!waiting_.empty()) grant_waiting();
  }

  void grant_waiting() {
    IntrusiveList<Hold> still_waiting;
    while (Hold* hold = waiting_.pop_front()) {
      const auto conflicts = [hold](const Hold* other) { return hold->conflicts(*other); };
      if (held_.find(conflicts) != nullptr || still_waiting.find(conflicts) != nullptr)
        still_waiting.push_back(hold);
      else
        grant(hold);
    }
    while (Hold* hold = still_waiting.pop_front()) waiting_.push_back(hold);
  }

  void grant(Hold* hold) {
    held_.push_back(hold);
    ready_.push(&hold->waiter_);
  }

  ReadyQueue& ready_;
  size_t exclusive_count_ = 0;  // held and waiting
  IntrusiveList<Hold> held_;
  IntrusiveList<Hold> waiting_;
};

}  // namespace cairn
