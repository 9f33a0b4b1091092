// How the volumes of a process share it. A disk, and the reactor above it, serves what it is given in turn, so that who
// has more under way gets more. While several volumes are saturated, none may have more under way than one window; it
// is made smaller until they get nearly equal amounts of work done, and larger again as soon as they do.
#pragma once

#include <cstdint>
#include <mutex>
#include <vector>

#include "qos/limits.h"

namespace cairn::qos {

/// Safe from every thread; volumes ask it a few times a second, never for a request.
class FairShare {
 public:
  /// Of the time since the last one.
  struct Report {
    uint64_t demand = 0;   // the most work that was under way, or would have been
    double under_way = 0;  // the work under way, on average
    uint64_t done = 0;     // work
  };
  struct Allotment {
    bool contended = false;  // others are busy too
    uint64_t window = 0;     // work that may be under way; 0: as much as is asked for
  };

  /// Of a busy volume, once in each share_period.
  Allotment update(const void* volume, const Report& report);
  /// It has nothing to do.
  void leave(const void* volume);

 private:
  struct Entry {
    const void* volume = nullptr;
    Report last;
    uint64_t done = 0;  // in this round
    unsigned reports = 0;
  };
  static bool saturated(const Entry& entry) { return entry.last.under_way >= share_saturated_least; }
  void begin_round();
  bool round_over() const;
  void judge();

  std::mutex mutex_;
  std::vector<Entry> busy_;
  double window_ = share_window_start;
};

}  // namespace cairn::qos
