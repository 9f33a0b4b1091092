#pragma once

#include <chrono>

namespace cairn {

/// Of calls that block the reactor's thread: after one that took longer than the limit there is none for a multiple of
/// what it took, so that slow ones can have no more than their part of its time.
class Patience {
 public:
  using Clock = std::chrono::steady_clock;

  constexpr Patience(Clock::duration limit, int pause) : limit_(limit), pause_(pause) {}

  bool lasts(Clock::time_point now) const { return now >= again_; }
  void took(Clock::time_point begin, Clock::time_point end) {
    if (end - begin > limit_) again_ = end + pause_ * (end - begin);
  }

 private:
  Clock::duration limit_;
  int pause_;
  Clock::time_point again_{};
};

}  // namespace cairn
