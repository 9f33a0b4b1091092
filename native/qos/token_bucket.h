#pragma once

#include <chrono>

namespace cairn::qos {

using Clock = std::chrono::steady_clock;

/// A token bucket that can run into debt: whoever finds it open takes what it needs, however much that is, and the
/// bucket opens again when the debt is paid. So a request larger than the bucket passes, and the rate is kept all the
/// same. It knows no time of its own.
class TokenBucket {
 public:
  TokenBucket() = default;
  /// Starts full. `rate` in tokens a second, more than 0; `capacity` in tokens.
  TokenBucket(double rate, double capacity, Clock::time_point now)
      : rate_(rate), capacity_(capacity), level_(capacity), filled_(now) {}

  void fill(Clock::time_point now);
  bool open() const { return level_ > 0; }
  void take(double tokens) { level_ -= tokens; }
  /// From the time of the last fill(); zero when it is open.
  Clock::duration until_open() const;

 private:
  double rate_ = 0;
  double capacity_ = 0;
  double level_ = 0;  // negative: debt
  Clock::time_point filled_;
};

}  // namespace cairn::qos
