#pragma once

#include <algorithm>
#include <cstdint>

#include "qos/fair_share.h"
#include "qos/limits.h"
#include "qos/token_bucket.h"

namespace cairn::qos {

inline constexpr uint64_t share_work(uint64_t bytes) { return 1 + bytes / share_piece; }

/// One volume's part in sharing the process. While it is the only one that is busy, its requests are merely counted as
/// they arrive; beside others their work is counted until they end, and bounded.
class Share {
 public:
  explicit Share(FairShare& all) : all_(all) {}
  ~Share() { all_.leave(this); }
  Share(const Share&) = delete;
  Share& operator=(const Share&) = delete;

  void arrived() { ++arrivals_; }
  bool awake() const { return awake_; }
  bool contended() const { return contended_; }

  bool has_room(uint64_t work) const { return window_ == 0 || under_way_ == 0 || under_way_ + work <= window_; }
  /// `waiting`: the work of those that wait for room.
  void begin(uint64_t work, uint64_t waiting, Clock::time_point now) {
    move_to(now);
    under_way_ += work;
    wish(waiting);
  }
  void end(uint64_t work, Clock::time_point now) {
    move_to(now);
    under_way_ -= work;
    done_ += work;
  }
  void wish(uint64_t waiting) { demand_ = std::max(demand_, under_way_ + waiting); }

  /// At each share_period while it is awake, and to wake it up. Afterwards it may be asleep again.
  void look_around(uint64_t waiting, Clock::time_point now);

 private:
  void move_to(Clock::time_point now) {
    under_way_time_ += static_cast<double>(under_way_) * std::chrono::duration<double>(now - moved_).count();
    moved_ = now;
  }

  FairShare& all_;
  uint64_t arrivals_ = 0;  // since the last look around, like all that is summed up here
  uint64_t under_way_ = 0;
  uint64_t demand_ = 0;  // the most
  uint64_t done_ = 0;
  double under_way_time_ = 0;  // work times seconds
  Clock::time_point moved_;
  Clock::time_point looked_;
  uint64_t window_ = 0;
  bool awake_ = false;
  bool contended_ = false;
};

}  // namespace cairn::qos
