#pragma once

#include "qos/throttled_device.h"

namespace cairn::qos {

/// What stands before a volume's store: its throttle, the device and the snapshots behind that, and the timers it
/// needs. Lives on the volume's reactor.
class ThrottledVolume {
 public:
  ThrottledVolume(Reactor& reactor, FairShare& all, BlockDevice& device, SnapshotSet& snapshots)
      : limit_alarm_(reactor),
        share_alarm_(reactor),
        throttle_(reactor.ready(), all, limit_alarm_, share_alarm_,
                  std::min<uint64_t>(waiting_bytes_max, reactor.buffers().region().size() / waiting_share_divisor)),
        device_(device, throttle_),
        snapshots_(snapshots, throttle_) {
    throttle_.contention = [&reactor](bool begins) { reactor.compete(begins); };
  }

  Throttle& throttle() { return throttle_; }
  ThrottledDevice& device() { return device_; }
  ThrottledSnapshots& snapshots() { return snapshots_; }

 private:
  ReactorAlarm limit_alarm_;
  ReactorAlarm share_alarm_;
  Throttle throttle_;
  ThrottledDevice device_;
  ThrottledSnapshots snapshots_;
};

}  // namespace cairn::qos
