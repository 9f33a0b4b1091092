// Waiting without threads: primitives for coroutines of one reactor. All are first come, first served.
#pragma once

#include "aio/ready_queue.h"
#include "aio/task.h"

namespace cairn {

/// Waits until somebody calls wake_all() or wake_one(). The waiter checks its condition again itself.
class WaitQueue {
 public:
  explicit WaitQueue(ReadyQueue& ready) : ready_(ready) {}

  struct Wait : Waiter {
    explicit Wait(WaitQueue& queue) : queue_(queue) {}
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> waiting) {
      handle = waiting;
      queue_.waiters_.push_back(this);
    }
    void await_resume() const noexcept {}

   private:
    WaitQueue& queue_;
  };

  /// Awaitable.
  Wait wait() { return Wait(*this); }
  bool empty() const { return waiters_.empty(); }
  bool wake_one() {
    Waiter* waiter = waiters_.pop_front();
    if (waiter == nullptr) return false;
    ready_.push(waiter);
    return true;
  }
  void wake_all() {
    while (wake_one()) {
    }
  }

 private:
  ReadyQueue& ready_;
  IntrusiveList<Waiter> waiters_;
};

/// Mutual exclusion across awaits. Unlocking hands the lock to the next in line.
class AsyncMutex {
 public:
  explicit AsyncMutex(ReadyQueue& ready) : waiters_(ready) {}

  class Guard {
   public:
    Guard() = default;
    explicit Guard(AsyncMutex* mutex) : mutex_(mutex) {}
    Guard(Guard&& other) noexcept : mutex_(std::exchange(other.mutex_, nullptr)) {}
    Guard& operator=(Guard&& other) noexcept {
      unlock();
      mutex_ = std::exchange(other.mutex_, nullptr);
      return *this;
    }
    ~Guard() { unlock(); }
    void unlock() {
      if (mutex_ != nullptr) std::exchange(mutex_, nullptr)->release();
    }

   private:
    AsyncMutex* mutex_ = nullptr;
  };

  struct Lock : WaitQueue::Wait {
    explicit Lock(AsyncMutex& mutex) : Wait(mutex.waiters_), mutex_(mutex) {}
    bool await_ready() const noexcept {
      if (mutex_.locked_) return false;
      mutex_.locked_ = true;
      return true;
    }
    Guard await_resume() const noexcept { return Guard(&mutex_); }

   private:
    AsyncMutex& mutex_;
  };

  /// Awaitable: `auto guard = co_await mutex.lock();`
  Lock lock() { return Lock(*this); }
  bool locked() const { return locked_; }
  /// Somebody waits for it.
  bool wanted() const { return !waiters_.empty(); }

 private:
  void release() {
    if (!waiters_.wake_one()) locked_ = false;
  }

  bool locked_ = false;
  WaitQueue waiters_;
};

/// Counts work in flight; wait() resumes when there is none. New work may start meanwhile: the owner keeps it out.
class InFlight {
 public:
  explicit InFlight(ReadyQueue& ready) : idle_(ready) {}

  void add() { ++count_; }
  void remove() {
    CAIRN_ASSERT(count_ > 0);
    if (--count_ == 0) idle_.wake_all();
  }
  size_t count() const { return count_; }
  Task<> wait_idle() {
    while (count_ > 0) co_await idle_.wait();
  }

 private:
  size_t count_ = 0;
  WaitQueue idle_;
};

/// Holds one count of an InFlight for a scope.
class InFlightScope {
 public:
  explicit InFlightScope(InFlight& counter) : counter_(counter) { counter_.add(); }
  ~InFlightScope() { counter_.remove(); }
  InFlightScope(const InFlightScope&) = delete;
  InFlightScope& operator=(const InFlightScope&) = delete;

 private:
  InFlight& counter_;
};

}  // namespace cairn
