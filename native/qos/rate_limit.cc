#include "qos/rate_limit.h"

#include <algorithm>

namespace cairn::qos {
namespace {

double depth_of(uint64_t rate) {
  return static_cast<double>(rate) * std::chrono::duration<double>(bucket_depth).count();
}

/// What a burst takes beyond what comes in meanwhile.
double credit_of(const Rate& rate) {
  return static_cast<double>(rate.burst - rate.sustained) * static_cast<double>(rate.burst_seconds);
}

}  // namespace

void RateLimit::set(const Rate& rate, Clock::time_point now) {
  if (rate == rate_) return;
  rate_ = rate;
  pace_.reset();
  if (!limited()) return;
  double capacity = depth_of(rate.sustained);
  if (rate.burst > rate.sustained) {
    capacity += credit_of(rate);
    pace_.emplace(static_cast<double>(rate.burst), depth_of(rate.burst), now);
  }
  credit_ = TokenBucket(static_cast<double>(rate.sustained), capacity, now);
}

void RateLimit::fill(Clock::time_point now) {
  if (!limited()) return;
  credit_.fill(now);
  if (pace_) pace_->fill(now);
}

void RateLimit::take(uint64_t amount) {
  if (!limited()) return;
  credit_.take(static_cast<double>(amount));
  if (pace_) pace_->take(static_cast<double>(amount));
}

Clock::duration RateLimit::until_open() const {
  if (!limited()) return Clock::duration::zero();
  return pace_ ? std::max(credit_.until_open(), pace_->until_open()) : credit_.until_open();
}

}  // namespace cairn::qos
