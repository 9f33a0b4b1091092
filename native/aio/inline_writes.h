// When a write into the page cache is a plain system call on the reactor's thread.
//
// It is a copy of some microseconds. ext4 does not offer it to io_uring without blocking (IOCB_NOWAIT), so that each
// goes through a worker thread of the kernel: twice the processor time, and writes of one file one after the other. But
// it blocks where the kernel throttles who dirties too many pages, and everything else on the reactor would wait with
// it.
#pragma once

#include <chrono>
#include <cstddef>

#include "aio/patience.h"
#include "base/limits.h"

namespace cairn {

/// Goes to the workers for a while when a write has taken too long.
class InlineWrites {
 public:
  using Clock = Patience::Clock;
  static constexpr size_t length_max = 64 * kibibyte;
  static constexpr Clock::duration patience = std::chrono::milliseconds(1);
  /// At most a twentieth of the time goes to writes that take longer.
  static constexpr int pause = 20;

  bool allowed(size_t length, Clock::time_point now) const { return length <= length_max && patience_.lasts(now); }
  void took(Clock::time_point begin, Clock::time_point end) { patience_.took(begin, end); }

 private:
  Patience patience_{patience, pause};
};

}  // namespace cairn
