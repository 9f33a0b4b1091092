#include "test/native/store/support/register_history.h"

#include <algorithm>
#include <map>

namespace cairn::test {
namespace {

/// For values by time: the greatest of those up to a moment.
class GreatestUntil {
 public:
  void add(uint64_t time, uint64_t value) { entries_.push_back({time, value}); }
  void finish() {
    std::sort(entries_.begin(), entries_.end());
    for (size_t i = 1; i < entries_.size(); ++i)
      entries_[i].second = std::max(entries_[i].second, entries_[i - 1].second);
  }
  /// Of the entries with a time below `end`; 0 if there are none.
  uint64_t before(uint64_t end) const {
    const auto at = std::lower_bound(entries_.begin(), entries_.end(), std::pair<uint64_t, uint64_t>(end, 0));
    return at == entries_.begin() ? 0 : std::prev(at)->second;
  }

 private:
  std::vector<std::pair<uint64_t, uint64_t>> entries_;
};

struct Zone {
  uint64_t value;
  uint64_t first_end = UINT64_MAX;
  uint64_t last_beginning = 0;
  bool forward() const { return first_end < last_beginning; }
};

std::string describe(const RegisterOperation& read) {
  return "read of " + std::to_string(read.value) + " from " + std::to_string(read.began) + " to " +
         std::to_string(read.ended) + " has no write that explains it";
}

/// Reads that no write explains: of what nobody had written yet, or what other writes had surely replaced.
std::string unexplained_read(const std::vector<RegisterOperation>& history) {
  std::map<uint64_t, RegisterOperation> writes;  // of values that are not 0
  GreatestUntil beginning_of_values;             // by end: the last beginning of a write that was over by then
  GreatestUntil beginning_of_zeros;
  GreatestUntil end_of_zeros;  // by beginning
  for (const RegisterOperation& operation : history) {
    if (!operation.write) continue;
    (operation.value == 0 ? beginning_of_zeros : beginning_of_values).add(operation.ended, operation.began);
    if (operation.value == 0)
      end_of_zeros.add(operation.began, operation.ended);
    else
      writes.emplace(operation.value, operation);
  }
  for (GreatestUntil* greatest : {&beginning_of_values, &beginning_of_zeros, &end_of_zeros}) greatest->finish();
  for (const RegisterOperation& read : history) {
    if (read.write) continue;
    if (read.value == 0) {
      if (beginning_of_values.before(read.began) > end_of_zeros.before(read.ended + 1)) return describe(read);
      continue;
    }
    const auto write = writes.find(read.value);
    if (write == writes.end() || write->second.began > read.ended) return describe(read);
    // Replaced by another value: that the zones find.
    if (beginning_of_zeros.before(read.began) > write->second.ended) return describe(read);
  }
  return "";
}

std::vector<Zone> zones_of(const std::vector<RegisterOperation>& history) {
  std::map<uint64_t, Zone> zones;
  for (const RegisterOperation& operation : history) {
    if (operation.value == 0) continue;
    Zone& zone = zones.try_emplace(operation.value, Zone{operation.value}).first->second;
    zone.first_end = std::min(zone.first_end, operation.ended);
    zone.last_beginning = std::max(zone.last_beginning, operation.began);
  }
  std::vector<Zone> found;
  for (const auto& [value, zone] : zones) found.push_back(zone);
  std::sort(found.begin(), found.end(), [](const Zone& a, const Zone& b) { return a.first_end < b.first_end; });
  return found;
}

std::string conflict(const Zone& a, const Zone& b) {
  return "writes " + std::to_string(a.value) + " and " + std::to_string(b.value) + " were each seen after the other";
}

}  // namespace

std::string register_violation(const std::vector<RegisterOperation>& history) {
  std::string unexplained = unexplained_read(history);
  if (!unexplained.empty()) return unexplained;
  std::vector<Zone> forward;
  const std::vector<Zone> zones = zones_of(history);
  for (const Zone& zone : zones) {
    if (!zone.forward()) continue;
    if (!forward.empty() && forward.back().last_beginning > zone.first_end) return conflict(forward.back(), zone);
    forward.push_back(zone);
  }
  // The ones that run forward do not overlap now: the last that begins before another zone is the one that may hold it.
  for (const Zone& zone : zones) {
    if (zone.forward()) continue;
    const auto after = std::lower_bound(forward.begin(), forward.end(), zone.last_beginning,
                                        [](const Zone& f, uint64_t time) { return f.first_end < time; });
    if (after != forward.begin() && std::prev(after)->last_beginning > zone.first_end)
      return conflict(*std::prev(after), zone);
  }
  return "";
}

}  // namespace cairn::test
