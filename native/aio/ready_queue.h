#pragma once

#include <coroutine>

#include "base/intrusive_list.h"

namespace cairn {

/// A suspended coroutine in a wait queue or among those that may go on. It lives in the waiting coroutine's frame.
struct Waiter : ListLink {
  std::coroutine_handle<> handle;
};

/// Coroutines that may go on. The reactor resumes them from its loop, so that waking one never runs it inside its
/// waker.
class ReadyQueue {
 public:
  void push(Waiter* waiter) { queue_.push_back(waiter); }
  bool empty() const { return queue_.empty(); }
  void run() {
    while (Waiter* waiter = queue_.pop_front()) waiter->handle.resume();
  }

 private:
  IntrusiveList<Waiter> queue_;
};

}  // namespace cairn
