// How the volumes of a process share it. A disk, and the reactor above it, serves what it is given in turn, so that who
// has more under way gets more. While several volumes are busy, none may have more under way than one window, which is
// searched for by trial: the one with which the volumes together wait least for a given amount of work each (minimum
// potential delay fairness: the least sum of 1/rate). On a disk that is busy with little that is an equal part for
// each; a disk that serves much at a time gets as much as does not slow the others down by more than it gains.
#pragma once

#include <cstdint>
#include <mutex>
#include <vector>

#include "qos/limits.h"

namespace cairn::qos {

/// Safe from every thread; volumes ask it a few times a second, never for a request.
class FairShare {
 public:
  struct Report {
    uint64_t demand = 0;  // the most work that it had under way, or would have had, since the last report
    uint64_t done = 0;    // work, since the last report
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
    uint64_t demand = 0;
    uint64_t done = 0;  // in this round
    unsigned reports = 0;
  };
  static bool contends(const Entry& entry) { return entry.demand >= share_contender_least; }
  void begin_round();
  bool round_over() const;
  bool contenders() const;
  double utility() const;
  void judge(double utility);
  void move_window();

  std::mutex mutex_;
  std::vector<Entry> busy_;
  double window_ = share_window_start;
  double step_ = share_step_least;
  bool growing_ = true;
  bool judged_before_ = false;
  double utility_before_ = 0;
  unsigned rounds_at_most_ = 0;
};

}  // namespace cairn::qos
