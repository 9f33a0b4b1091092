// Decides whether what was read from one register at the same time as it was written can have happened one after the
// other.
#pragma once

#include <cstdint>
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
std::string register_violation(const std::vector<RegisterOperation>& history);

}  // namespace cairn::test
