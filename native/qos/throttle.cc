#include "qos/throttle.h"

#include <algorithm>
#include <utility>

namespace cairn::qos {

Throttle::Throttle(ReadyQueue& ready, FairShare& all, Alarm& limit_alarm, Alarm& share_alarm, uint64_t crowd_bytes)
    : ready_(ready),
      limit_alarm_(limit_alarm),
      share_alarm_(share_alarm),
      crowd_bytes_(crowd_bytes),
      share_(all),
      admission_(ready) {
  limit_alarm_.ring = [this] {
    alarm_asked_for_ = false;
    go_on();
  };
  share_alarm_.ring = [this] { look_around(); };
}

// ---- A request ------------------------------------------------------------------------------------------------------

Task<Status> Throttle::pass(uint64_t bytes, Task<Status> operation) {
  if (!share_.awake()) look_around();
  Turn turn(*this, bytes);
  co_await turn;
  const Status status = co_await std::move(operation);
  ended(bytes);
  co_return status;
}

bool Throttle::go_at_once(Turn& turn) {
  if (!queue_.empty()) return false;
  fill();
  if (!may_go(turn)) return false;
  take(turn);
  return true;
}

void Throttle::queue_up(Turn& turn) {
  turn.since = limit_alarm_.now();
  queue_.push_back(&turn);
  waiting_bytes_ += turn.bytes;
  waiting_work_ += share_work(turn.bytes);
  share_.wish(waiting_for_share());
  update_admission();
  ask_for_alarm();
}

void Throttle::ended(uint64_t bytes) {
  share_.end(share_work(bytes), share_alarm_.now());
  if (!queue_.empty()) go_on();
}

// ---- Whose turn it is -----------------------------------------------------------------------------------------------

void Throttle::go_on() {
  fill();
  while (Turn* first = queue_.front()) {
    if (!may_go(*first)) break;
    release(*first);
  }
  update_admission();
  ask_for_alarm();
  passing_ = !limited_ && share_.awake() && !share_.contended();
}

void Throttle::fill() {
  if (!limited_) return;
  const Clock::time_point now = limit_alarm_.now();
  operations_.fill(now);
  bytes_.fill(now);
}

bool Throttle::may_go(const Turn& turn) {
  held_by_limits_ = lifted_ == 0 && (!operations_.open() || !bytes_.open());
  if (lifted_ > 0) return true;
  return !held_by_limits_ && share_.has_room(share_work(turn.bytes));
}

void Throttle::take(const Turn& turn) {
  if (lifted_ == 0) {
    operations_.take(1);
    bytes_.take(turn.bytes);
  }
  share_.begin(share_work(turn.bytes), waiting_for_share(), share_alarm_.now());
}

void Throttle::release(Turn& turn) {
  turn.unlink();
  waiting_bytes_ -= turn.bytes;
  waiting_work_ -= share_work(turn.bytes);
  take(turn);
  ++counters_.requests;
  counters_.waited += limit_alarm_.now() - turn.since;
  ready_.push(&turn);
  admission_.let_one_in();
}

/// Once for all that wait: moving it for each request would cost more than looking in vain.
void Throttle::ask_for_alarm() {
  if (queue_.empty() || !held_by_limits_ || alarm_asked_for_) return;
  const Clock::duration wait = std::max(operations_.until_open(), bytes_.until_open());
  alarm_asked_for_ = true;
  limit_alarm_.set(std::clamp<Clock::duration>(wait, wake_interval_min, wake_interval_max));
}

void Throttle::update_admission() {
  admission_.set_crowded(lifted_ == 0 && waiting_bytes_ > crowd_bytes_);
  if (queue_.empty()) admission_.let_all_in();
}

// ---- What changes the rules -----------------------------------------------------------------------------------------

void Throttle::set_limits(const Limits& limits) {
  const Clock::time_point now = limit_alarm_.now();
  limits_ = limits;
  operations_.set(limits.operations, now);
  bytes_.set(limits.bytes, now);
  limited_ = operations_.limited() || bytes_.limited();
  limit_alarm_.stop();
  alarm_asked_for_ = false;
  go_on();
}

void Throttle::lift() {
  ++lifted_;
  go_on();
}

void Throttle::restore() {
  CAIRN_ASSERT(lifted_ > 0);
  --lifted_;
}

void Throttle::look_around() {
  share_.look_around(waiting_for_share(), share_alarm_.now());
  tell_of_contention(share_.contended());
  if (share_.awake()) share_alarm_.set(share_period);
  go_on();
}

void Throttle::tell_of_contention(bool contended) {
  if (std::exchange(contention_told_, contended) != contended && contention) contention(contended);
}

}  // namespace cairn::qos
