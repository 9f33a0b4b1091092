// Time that passes only when a test says so.
#pragma once

#include <algorithm>
#include <vector>

#include "qos/alarm.h"

namespace cairn::test {

class FakeAlarm;

class FakeTime {
 public:
  qos::Clock::time_point now() const { return now_; }
  /// Rings what is due on the way, in order; `settle` is called after each and at the end.
  template <typename Settle>
  void pass(qos::Clock::duration duration, Settle settle);

 private:
  friend class FakeAlarm;
  qos::Clock::time_point now_{std::chrono::hours(1)};
  std::vector<FakeAlarm*> alarms_;
};

class FakeAlarm final : public qos::Alarm {
 public:
  explicit FakeAlarm(FakeTime& time) : time_(time) { time_.alarms_.push_back(this); }
  ~FakeAlarm() override { std::erase(time_.alarms_, this); }
  qos::Clock::time_point now() const override { return time_.now(); }
  void set(qos::Clock::duration delay) override { due_ = now() + delay; }
  void stop() override { due_ = qos::Clock::time_point::max(); }

 private:
  friend class FakeTime;
  FakeTime& time_;
  qos::Clock::time_point due_ = qos::Clock::time_point::max();
};

template <typename Settle>
void FakeTime::pass(qos::Clock::duration duration, Settle settle) {
  const qos::Clock::time_point end = now_ + duration;
  for (;;) {
    const auto first = std::ranges::min_element(alarms_, {}, [](const FakeAlarm* alarm) { return alarm->due_; });
    if (first == alarms_.end() || (*first)->due_ > end) break;
    now_ = std::max(now_, (*first)->due_);
    (*first)->due_ = qos::Clock::time_point::max();
    (*first)->ring();
    settle();
  }
  now_ = end;
  settle();
}

}  // namespace cairn::test
