// When a file operation is a plain system call on the reactor's thread because nothing else is going on there.
//
// Through the ring, a lone direct write ends in a worker of the kernel, which wakes the reactor on another processor,
// and a lone fdatasync begins and ends in one: for a client that waits for each reply these hops cost as much as the
// disk. The thread sleeps in the call instead. Whoever else has a request meanwhile would wait for that operation, so
// it is done only for a client that has the reactor to itself and sends one request at a time, and not on a slow disk.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>

#include "aio/patience.h"
#include "base/limits.h"

namespace cairn {

class LoneCalls {
 public:
  using Clock = Patience::Clock;
  /// Operations that came alone, one after the other, before the next one is a plain call.
  static constexpr int streak_min = 16;
  /// So many of them one that did not come alone takes away.
  static constexpr int interruption = 2;
  /// Shorter than what merges copy at once.
  static constexpr size_t length_max = 32 * kibibyte;
  static constexpr Clock::duration patience = std::chrono::microseconds(500);
  static constexpr int pause = 50;

  /// The thread is about to sleep until something happens.
  void end_turn() { begun_in_turn_ = 0; }
  /// An operation begins while `under_way` others are: whether it is one of those that come alone.
  bool begin(size_t under_way, size_t length) {
    const bool alone = begun_in_turn_++ == 0 && under_way == 0;
    streak_ = alone ? std::min(streak_ + 1, streak_min) : std::max(streak_ - interruption, 0);
    return streak_ == streak_min && length <= length_max;
  }
  void interrupted() { streak_ = 0; }
  /// Whether those that began lately came alone, but for a merge's now and then.
  bool mostly_alone() const { return streak_ >= streak_min / 2; }
  bool allowed(Clock::time_point now) const { return patience_.lasts(now); }
  void took(Clock::time_point begin, Clock::time_point end) { patience_.took(begin, end); }

 private:
  int streak_ = 0;
  size_t begun_in_turn_ = 0;
  Patience patience_{patience, pause};
};

}  // namespace cairn
