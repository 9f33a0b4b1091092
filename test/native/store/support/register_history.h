// Decides whether what was read from one register at the same time as it was written can have happened one after the
// other.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace cairn::test {

/// One operation on a register, in ticks of a clock that never stands still. Values are unique but for 0, which many
/// operations may write.
struct RegisterOperation {
  bool write;
  uint64_t value;
  uint64_t began;
  uint64_t ended;
};

/// What is wrong with the history of one register that was 0 at first, or empty.
///
/// Unique values are decided exactly (Gibbons and Korach, "Testing Shared Memories", 1997): each write with its reads
/// is a zone from the first end to the last beginning; two zones that run forward must not overlap, and one that runs
/// backward (all of it at some moment together) must not lie inside one that runs forward. A read of 0 must only be
/// explained by a write of 0 that no other write has surely replaced.
inline std::string register_violation(const std::vector<RegisterOperation>& history) {
  struct Zone {
    uint64_t value, first_end = UINT64_MAX, last_beginning = 0;
  };
  std::map<uint64_t, Zone> zones;
  const auto describe = [](const RegisterOperation& operation) {
    return "read of " + std::to_string(operation.value) + " from " + std::to_string(operation.began) + " to " +
           std::to_string(operation.ended);
  };
  // A value that is there before the read ends, and that nothing which began after its write had ended has replaced
  // before the read.
  const auto explains = [&](const RegisterOperation& write, const RegisterOperation& read) {
    if (write.value != read.value || write.began > read.ended) return false;
    return std::none_of(history.begin(), history.end(), [&](const RegisterOperation& other) {
      return other.write && other.value != read.value && other.began > write.ended && other.ended < read.began;
    });
  };
  const RegisterOperation first{true, 0, 0, 0};
  for (const RegisterOperation& operation : history) {
    if (!operation.write) {
      const bool explained = explains(first, operation) ||
                             std::any_of(history.begin(), history.end(), [&](const RegisterOperation& write) {
                               return write.write && explains(write, operation);
                             });
      if (!explained) return describe(operation) + " has no write that explains it";
    }
    if (operation.value == 0) continue;
    Zone& zone = zones.try_emplace(operation.value, Zone{operation.value}).first->second;
    zone.first_end = std::min(zone.first_end, operation.ended);
    zone.last_beginning = std::max(zone.last_beginning, operation.began);
  }
  for (const auto& [value, zone] : zones) {
    if (zone.first_end >= zone.last_beginning) continue;  // runs backward
    for (const auto& [other_value, other] : zones) {
      if (other_value == value) continue;
      const bool forward = other.first_end < other.last_beginning;
      const bool overlaps = other.first_end < zone.last_beginning && zone.first_end < other.last_beginning;
      const bool inside = other.last_beginning > zone.first_end && other.first_end < zone.last_beginning;
      if (forward ? overlaps : inside)
        return "writes " + std::to_string(value) + " and " + std::to_string(other_value) +
               " were each seen after the other";
    }
  }
  return "";
}

}  // namespace cairn::test
