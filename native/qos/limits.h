// What one volume may use, and every constant of limiting and sharing. docs/volumes.md explains them for people.
#pragma once

#include <chrono>
#include <cstdint>

#include "base/limits.h"

namespace cairn::qos {

/// A rate that may be exceeded for a while. All zero: no limit.
struct Rate {
  uint64_t sustained = 0;      // units a second
  uint64_t burst = 0;          // units a second, more than `sustained`; 0: no bursts
  uint64_t burst_seconds = 0;  // how long a volume that has rested may run at `burst`
  friend bool operator==(const Rate&, const Rate&) = default;
};

/// Reads and writes count as an operation each, and with their bytes; trims and write-zeroes, which move none, as an
/// operation alone. Flushes and block status are free: neither makes a volume's neighbours wait for its data.
struct Limits {
  Rate operations;
  Rate bytes;
  friend bool operator==(const Limits&, const Limits&) = default;
};

/// What a bucket holds at most, as time at its rate: how much a timer may be late without losing any of the rate, and
/// how much a second may have beyond it (2.5 %).
inline constexpr std::chrono::milliseconds bucket_depth{25};
/// Waiting requests are let go in groups of this interval, so that high rates cost few timers.
inline constexpr std::chrono::milliseconds wake_interval_min{1};
/// A debt is looked at again after this at the latest.
inline constexpr std::chrono::seconds wake_interval_max{10};

/// What waits in a throttle holds buffers that other volumes of the reactor need: with more than this, no more is taken
/// in from its clients. At most this share of the pool.
inline constexpr uint64_t waiting_bytes_max = 8 * mebibyte;
inline constexpr size_t waiting_share_divisor = 8;

/// How often a volume that is busy says so, and hears what the others do.
inline constexpr std::chrono::milliseconds share_period{50};
/// The work of a request, for sharing: 1, and 1 more for each whole piece of this size.
inline constexpr uint64_t share_piece = 64 * kibibyte;
/// What each volume may have under way while several are saturated, as work: where the window begins, and what it never
/// goes below.
inline constexpr double share_window_start = 32;
inline constexpr double share_window_least = 8;
/// A window is judged by so many periods, after one in which it takes hold.
inline constexpr unsigned share_round_periods = 3;
/// The window shrinks while the one that gets least done gets less than this part of what the first does (40 of 100
/// beside 60), and grows again while it gets more than the other. Between them is as much of the disk as fairness
/// leaves.
inline constexpr double share_part_low = 0.68;
inline constexpr double share_part_high = 0.76;
inline constexpr double share_shrink_most = 0.6;
inline constexpr double share_grow = 1.15;
/// A volume that has, on average, less work under way than this is not saturated: it waits for answers, or does other
/// things, and would not use what others were denied for its sake. Beside it the window is so large that answers come
/// soon and nearly nothing is lost.
inline constexpr double share_saturated_least = 3;
inline constexpr uint64_t share_window_beside_lone_requests = 128;

}  // namespace cairn::qos
