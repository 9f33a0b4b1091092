#pragma once

#include <functional>

#include "aio/reactor.h"
#include "qos/token_bucket.h"

namespace cairn::qos {

/// The time, and one call that can be asked for later: the reactor's, or a test's.
class Alarm {
 public:
  virtual ~Alarm() = default;
  virtual Clock::time_point now() const = 0;
  /// Calls `ring` in `delay`; takes the place of what was asked for before.
  virtual void set(Clock::duration delay) = 0;
  virtual void stop() = 0;

  std::function<void()> ring;
};

class ReactorAlarm final : public Alarm {
 public:
  /// In the background: Reactor::run may end before it rings.
  explicit ReactorAlarm(Reactor& reactor) : timer_(reactor, [this] { ring(); }) {}
  Clock::time_point now() const override { return Clock::now(); }
  void set(Clock::duration delay) override { timer_.start(delay, true); }
  void stop() override { timer_.stop(); }

 private:
  Timer timer_;
};

}  // namespace cairn::qos
