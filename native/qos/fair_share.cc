#include "qos/fair_share.h"

#include <algorithm>

#include "qos/limits.h"

namespace cairn::qos {

FairShare::Allotment FairShare::update(const void* volume, uint64_t demand) {
  const std::lock_guard lock(mutex_);
  const auto found = std::ranges::find(busy_, volume, &Entry::volume);
  if (found == busy_.end())
    busy_.push_back({volume, demand});
  else
    found->demand = demand;
  if (busy_.size() == 1) return {};
  return {.contended = true, .window = window()};
}

void FairShare::leave(const void* volume) {
  const std::lock_guard lock(mutex_);
  std::erase_if(busy_, [volume](const Entry& entry) { return entry.volume == volume; });
}

/// As much as the one with the least to do asks for, and a little more: it is not held back, and nobody is further
/// ahead of it than that.
uint64_t FairShare::window() const {
  uint64_t least = UINT64_MAX;
  bool lone_requests = false;
  for (const Entry& entry : busy_) {
    if (entry.demand == 0) return 0;
    if (entry.demand < share_contender_least)
      lone_requests = true;
    else
      least = std::min(least, entry.demand);
  }
  if (least == UINT64_MAX) return 0;
  const uint64_t window = std::max(share_window_least, least + least / 4);
  return lone_requests ? std::min(window, share_window_beside_lone_requests) : window;
}

}  // namespace cairn::qos
