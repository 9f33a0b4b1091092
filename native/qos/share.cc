#include "qos/share.h"

#include <utility>

namespace cairn::qos {

void Share::look_around(uint64_t waiting) {
  awake_ = arrivals_ > 0 || under_way_ > 0 || waiting > 0;
  arrivals_ = 0;
  if (!awake_) {
    all_.leave(this);
    contended_ = false;
    window_ = 0;
    return;
  }
  const FairShare::Allotment allotment = all_.update(this, {.demand = demand_, .done = std::exchange(done_, 0)});
  contended_ = allotment.contended;
  window_ = allotment.window;
  demand_ = under_way_ + waiting;
}

}  // namespace cairn::qos
