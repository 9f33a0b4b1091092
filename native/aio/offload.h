#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

#include "aio/reactor.h"

namespace cairn {

/// A thread for system calls that may block and that io_uring has no operation for (or not one worth having): making,
/// linking and removing files. Jobs run one after the other.
class BlockingThread {
 public:
  BlockingThread();
  /// Runs what is queued, then ends.
  ~BlockingThread();
  void run(std::function<void()> job);

 private:
  void loop();

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> jobs_;
  bool stopping_ = false;
  std::thread thread_;
};

/// Awaitable: runs `work` on the blocking thread, and resumes on the reactor with what it returned.
template <typename Work>
class Offload {
 public:
  using Value = std::invoke_result_t<Work>;

  Offload(BlockingThread& thread, Reactor& reactor, Work work)
      : thread_(thread), reactor_(reactor), work_(std::move(work)) {}
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> waiting) {
    thread_.run([this, waiting] {
      value_.emplace(work_());
      reactor_.post([waiting] { waiting.resume(); });
    });
  }
  Value await_resume() { return std::move(*value_); }

 private:
  BlockingThread& thread_;
  Reactor& reactor_;
  Work work_;
  std::optional<Value> value_;
};

}  // namespace cairn
