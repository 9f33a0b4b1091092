#include "qos/token_bucket.h"

#include <algorithm>
#include <cmath>

namespace cairn::qos {

void TokenBucket::fill(Clock::time_point now) {
  const double seconds = std::chrono::duration<double>(now - filled_).count();
  level_ = std::min(capacity_, level_ + seconds * rate_);
  filled_ = now;
}

Clock::duration TokenBucket::until_open() const {
  if (open()) return Clock::duration::zero();
  // One more nanosecond, for a bucket that is just empty is closed.
  const double nanoseconds = std::ceil(-level_ / rate_ * 1e9) + 1;
  const auto most = static_cast<double>(Clock::duration::max().count());
  return Clock::duration(static_cast<Clock::rep>(std::min(nanoseconds, most / 2)));
}

}  // namespace cairn::qos
