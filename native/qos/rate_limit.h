#pragma once

#include <optional>

#include "qos/limits.h"
#include "qos/token_bucket.h"

namespace cairn::qos {

/// Keeps one Rate. Two buckets: credit, which is saved up at the sustained rate and spent faster in a burst, and the
/// pace of the burst itself.
class RateLimit {
 public:
  bool limited() const { return rate_.sustained > 0; }
  /// A rate that is new begins rested and without debt; the same again changes nothing.
  void set(const Rate& rate, Clock::time_point now);

  void fill(Clock::time_point now);
  bool open() const { return !limited() || (credit_.open() && (!pace_ || pace_->open())); }
  void take(uint64_t amount);
  /// From the time of the last fill(); zero when it is open.
  Clock::duration until_open() const;

 private:
  Rate rate_;
  TokenBucket credit_;
  std::optional<TokenBucket> pace_;  // of bursts
};

}  // namespace cairn::qos
