#pragma once

#include "aio/wait.h"

namespace cairn {

/// Whether a frontend may take in more requests for a device: what waits before it holds buffers that others need.
/// Belongs to the device's reactor.
class Admission {
 public:
  explicit Admission(ReadyQueue& ready) : room_(ready) {}

  bool crowded() const { return crowded_; }
  void set_crowded(bool crowded) { crowded_ = crowded; }

  /// Awaitable. Whoever is woken looks again whether it is crowded.
  WaitQueue::Wait room() { return room_.wait(); }
  void let_one_in() { room_.wake_one(); }
  void let_all_in() { room_.wake_all(); }

 private:
  bool crowded_ = false;
  WaitQueue room_;
};

}  // namespace cairn
