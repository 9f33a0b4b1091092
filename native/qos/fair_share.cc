#include "qos/fair_share.h"

#include <algorithm>
#include <cmath>

namespace cairn::qos {

FairShare::Allotment FairShare::update(const void* volume, const Report& report) {
  const std::lock_guard lock(mutex_);
  auto found = std::ranges::find(busy_, volume, &Entry::volume);
  if (found == busy_.end()) {
    found = busy_.insert(busy_.end(), {.volume = volume});
    begin_round();
  }
  found->last = report;
  // The first report of a round is of requests that began before it.
  if (found->reports++ > 0) found->done += report.done;
  if (busy_.size() == 1) return {};
  if (std::ranges::count_if(busy_, saturated) < 2)
    return {.contended = true, .window = share_window_beside_lone_requests};
  if (round_over()) {
    judge();
    begin_round();
  }
  return {.contended = true, .window = static_cast<uint64_t>(window_)};
}

void FairShare::leave(const void* volume) {
  const std::lock_guard lock(mutex_);
  if (std::erase_if(busy_, [volume](const Entry& entry) { return entry.volume == volume; }) > 0) begin_round();
}

void FairShare::begin_round() {
  for (Entry& entry : busy_) entry.done = entry.reports = 0;
}

bool FairShare::round_over() const {
  return std::ranges::all_of(busy_, [](const Entry& entry) { return entry.reports > share_round_periods; });
}

void FairShare::judge() {
  double least = INFINITY;
  double most = 0;
  uint64_t demand = 0;
  for (const Entry& entry : busy_) {
    if (!saturated(entry)) continue;
    const double rate = static_cast<double>(entry.done) / (entry.reports - 1);
    least = std::min(least, rate);
    most = std::max(most, rate);
    demand = std::max(demand, entry.last.demand);
  }
  if (most == 0) return;
  const double part = least / most;
  if (part < share_part_low)
    window_ *= std::max(share_shrink_most, std::sqrt(part / share_part_low));
  else if (part > share_part_high)
    window_ *= share_grow;
  window_ = std::clamp(window_, share_window_least, std::max(static_cast<double>(demand), share_window_least));
}

}  // namespace cairn::qos
