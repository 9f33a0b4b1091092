#pragma once

#include <algorithm>
#include <cstdint>

#include "qos/fair_share.h"
#include "qos/limits.h"

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
  void begin(uint64_t work, uint64_t waiting) {
    under_way_ += work;
    wish(waiting);
  }
  void end(uint64_t work) {
    under_way_ -= work;
    done_ += work;
  }
  void wish(uint64_t waiting) { demand_ = std::max(demand_, under_way_ + waiting); }

  /// At each share_period while it is awake, and to wake it up. Afterwards it may be asleep again.
  void look_around(uint64_t waiting);

 private:
  FairShare& all_;
  uint64_t arrivals_ = 0;  // since the last look around
  uint64_t under_way_ = 0;
  uint64_t demand_ = 0;  // the most since the last look around
  uint64_t done_ = 0;    // since then
  uint64_t window_ = 0;
  bool awake_ = false;
  bool contended_ = false;
};

}  // namespace cairn::qos
