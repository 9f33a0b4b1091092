#include "qos/share.h"

#include <utility>

namespace cairn::qos {

void Share::look_around(uint64_t waiting, Clock::time_point now) {
  move_to(now);
  const double seconds = std::chrono::duration<double>(now - std::exchange(looked_, now)).count();
  const double under_way = std::exchange(under_way_time_, 0) / std::max(seconds, 1e-9);
  awake_ = std::exchange(arrivals_, 0) > 0 || under_way_ > 0 || waiting > 0;
  if (!awake_) {
    all_.leave(this);
    contended_ = false;
    window_ = 0;
    return;
  }
  const FairShare::Allotment allotment =
      all_.update(this, {.demand = demand_, .under_way = under_way, .done = std::exchange(done_, 0)});
  contended_ = allotment.contended;
  window_ = allotment.window;
  demand_ = under_way_ + waiting;
}

}  // namespace cairn::qos
