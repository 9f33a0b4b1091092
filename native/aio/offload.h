#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

#include "aio/reactor.h"

namespace cairn {

/// Jobs that run one after the other, on a thread.
class JobThread {
 public:
  JobThread();
  /// Runs what is queued, then ends.
  ~JobThread();
  void run(std::function<void()> job);

 private:
  void loop();

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> jobs_;
  bool stopping_ = false;
  std::thread thread_;
};

/// Clients wait for an urgent job: it waits for no job that is not.
enum class Urgency : uint8_t { ordinary, urgent };

/// A thread for system calls that may block and that io_uring has no operation for (or not one worth having): making,
/// linking and removing files; and another one for the short ones among them that are urgent.
class BlockingThread {
 public:
  void run(std::function<void()> job, Urgency urgency = Urgency::ordinary) {
    (urgency == Urgency::urgent ? urgent_ : ordinary_).run(std::move(job));
  }

 private:
  JobThread ordinary_;
  JobThread urgent_;
};

/// Awaitable: runs `work` on the blocking thread, and resumes on the reactor with what it returned.
template <typename Work>
class Offload {
 public:
  using Value = std::invoke_result_t<Work>;

  Offload(BlockingThread& thread, Reactor& reactor, Work work, Urgency urgency = Urgency::ordinary)
      : thread_(thread), reactor_(reactor), work_(std::move(work)), urgency_(urgency) {}
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> waiting) {
    const auto job = [this, waiting] {
      value_.emplace(work_());
      reactor_.post([waiting] { waiting.resume(); });
    };
    thread_.run(job, urgency_);
  }
  Value await_resume() { return std::move(*value_); }

 private:
  BlockingThread& thread_;
  Reactor& reactor_;
  Work work_;
  Urgency urgency_;
  std::optional<Value> value_;
};

}  // namespace cairn
