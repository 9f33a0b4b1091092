#pragma once

#include <cstdint>
#include <functional>

#include "aio/task.h"
#include "aio/wait.h"
#include "base/intrusive_list.h"
#include "base/status.h"
#include "block/admission.h"
#include "qos/alarm.h"
#include "qos/rate_limit.h"
#include "qos/share.h"

namespace cairn::qos {

struct ThrottleCounters {
  uint64_t requests = 0;      // that had to wait
  Clock::duration waited{0};  // all of them together
};

/// Decides when each request of a volume goes on: by the volume's limits, and by its share of the process while others
/// are busy. Requests go on in the order in which they came, whatever they ask for. Belongs to the volume's reactor.
class Throttle {
 public:
  /// `crowd_bytes`: with more than this in its queue it asks the frontend to take in no more.
  Throttle(ReadyQueue& ready, FairShare& all, Alarm& limit_alarm, Alarm& share_alarm, uint64_t crowd_bytes);
  ~Throttle() { tell_of_contention(false); }
  Throttle(const Throttle&) = delete;
  Throttle& operator=(const Throttle&) = delete;

  /// Called with true when others begin to compete with the volume, with false when they no longer do.
  std::function<void(bool)> contention;

  /// Those that wait follow the new limits at once.
  void set_limits(const Limits& limits);
  const Limits& limits() const { return limits_; }

  /// Called once for each request: whether it may go on without pass(), for there is nothing to keep.
  bool passes() {
    share_.arrived();
    return passing_;
  }
  /// The same, for what is no request yet.
  bool passing() const { return passing_; }
  /// The operation, when its turn has come.
  Task<Status> pass(uint64_t bytes, Task<Status> operation);

  /// Lets everything through that waits or comes, until as many calls of restore(): a volume that is taken from its
  /// clients must not wait for what they have left.
  void lift();
  void restore();

  Admission& admission() { return admission_; }
  const ThrottleCounters& counters() const { return counters_; }

 private:
  struct Turn : Waiter {
    Turn(Throttle& owner, uint64_t length) : throttle(owner), bytes(length) {}
    bool await_ready() { return throttle.go_at_once(*this); }
    void await_suspend(std::coroutine_handle<> waiting) {
      handle = waiting;
      throttle.queue_up(*this);
    }
    void await_resume() const noexcept {}

    Throttle& throttle;
    uint64_t bytes;
    Clock::time_point since;
  };

  bool go_at_once(Turn& turn);
  void queue_up(Turn& turn);
  void ended(uint64_t bytes);
  /// Lets go whoever may.
  void go_on();
  void fill();
  bool may_go(const Turn& turn);
  void take(const Turn& turn);
  void release(Turn& turn);
  void ask_for_alarm();
  void look_around();
  void tell_of_contention(bool contended);
  void update_admission();
  uint64_t waiting_for_share() const { return held_by_limits_ ? 0 : waiting_work_; }

  ReadyQueue& ready_;
  Alarm& limit_alarm_;
  Alarm& share_alarm_;
  const uint64_t crowd_bytes_;
  Limits limits_;
  RateLimit operations_;
  RateLimit bytes_;
  Share share_;
  bool passing_ = false;
  bool contention_told_ = false;
  bool limited_ = false;
  bool held_by_limits_ = false;  // the first in the queue
  bool alarm_asked_for_ = false;
  unsigned lifted_ = 0;
  IntrusiveList<Turn> queue_;
  uint64_t waiting_bytes_ = 0;
  uint64_t waiting_work_ = 0;
  Admission admission_;
  ThrottleCounters counters_;
};

}  // namespace cairn::qos
