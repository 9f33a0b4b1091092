#include "qos/fair_share.h"

#include <algorithm>
#include <cmath>

namespace cairn::qos {

FairShare::Allotment FairShare::update(const void* volume, const Report& report) {
  const std::lock_guard lock(mutex_);
  auto found = std::ranges::find(busy_, volume, &Entry::volume);
  if (found == busy_.end()) {
    found = busy_.insert(busy_.end(), {.volume = volume});
    judged_before_ = false;
    begin_round();
  }
  found->demand = report.demand;
  // The first report of a round is of requests that began before it.
  if (found->reports++ > 0) found->done += report.done;
  if (busy_.size() == 1) return {};
  if (!contenders()) return {.contended = true, .window = share_window_beside_lone_requests};
  if (round_over()) {
    judge(utility());
    begin_round();
  }
  return {.contended = true, .window = static_cast<uint64_t>(window_)};
}

void FairShare::leave(const void* volume) {
  const std::lock_guard lock(mutex_);
  if (std::erase_if(busy_, [volume](const Entry& entry) { return entry.volume == volume; }) == 0) return;
  judged_before_ = false;
  begin_round();
}

void FairShare::begin_round() {
  for (Entry& entry : busy_) entry.done = entry.reports = 0;
}

bool FairShare::round_over() const {
  return std::ranges::all_of(busy_, [](const Entry& entry) { return entry.reports > share_round_periods; });
}

bool FairShare::contenders() const { return std::ranges::count_if(busy_, contends) >= 2; }

/// Of what was done in this round; its differences are relative ones.
double FairShare::utility() const {
  const auto rate = [](const Entry& entry) { return static_cast<double>(entry.done) / (entry.reports - 1); };
  double total = 0;
  for (const Entry& entry : busy_) total += rate(entry);
  double delay = 0;
  for (const Entry& entry : busy_)
    if (contends(entry)) delay += 1 / std::max(rate(entry) + share_part_least * total, 1e-9);
  return -std::log(delay);
}

/// Goes on where the last step has helped, and back where it has not. Where it made no difference, more is better.
void FairShare::judge(double utility) {
  const double gain = utility - utility_before_;
  if (judged_before_) {
    const bool helped = growing_ ? gain > -share_gain_least : gain > share_gain_least;
    step_ = helped ? std::min(step_ * share_step_least, share_step_most) : share_step_least;
    if (!helped) growing_ = !growing_;
  }
  utility_before_ = utility;
  judged_before_ = true;
  move_window();
}

void FairShare::move_window() {
  uint64_t demand = 0;
  for (const Entry& entry : busy_) demand = std::max(demand, entry.demand);
  const double most = std::max(static_cast<double>(demand), share_window_least);
  if (growing_ && window_ >= most) {
    window_ = most;
    if (++rounds_at_most_ < share_rounds_at_most) return;
    growing_ = false;
  } else if (!growing_ && window_ <= share_window_least) {
    growing_ = true;
  }
  rounds_at_most_ = 0;
  window_ = std::clamp(growing_ ? window_ * step_ : window_ / step_, share_window_least, most);
}

}  // namespace cairn::qos
