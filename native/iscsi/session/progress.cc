// What happens when an initiator does nothing.
#include <linux/sockios.h>
#include <sys/ioctl.h>

#include "iscsi/branch.h"
#include "iscsi/session/session.h"

namespace cairn::iscsi {

void Session::check_progress() {
  const Reactor::Clock::time_point now = Reactor::Clock::now();
  if (takes_nothing(now) || sends_no_data(now)) return terminate();
  ping_when_idle(now);
}

/// No byte has left for too long, though there are some.
bool Session::takes_nothing(Reactor::Clock::time_point now) {
  int unsent = 0;
  ::ioctl(socket_.fd(), SIOCOUTQ, &unsent);
  const bool moved = output_.sends_completed() != sends_seen_ || unsent != unsent_seen_;
  if (!output_.sending() || moved) send_since_ = now;
  sends_seen_ = output_.sends_completed();
  unsent_seen_ = unsent;
  return now - send_since_ >= branch_.times().send;
}

/// Data that it has announced or been asked for, or the rest of a PDU.
bool Session::sends_no_data(Reactor::Clock::time_point now) {
  if (!input_.mid_pdu() || input_.bytes_received() != bytes_seen_) pdu_since_ = now;
  if (now - pdu_since_ >= branch_.times().data) return true;
  bool late = false;
  tasks_.for_each([&](const ScsiTask* task) {
    const bool waits = task->unsolicited || task->transfer_tag != wire::no_tag;
    late |= waits && now - task->waiting_since >= branch_.times().data;
  });
  return late;
}

void Session::ping_when_idle(Reactor::Clock::time_point now) {
  if (input_.bytes_received() != bytes_seen_) {
    bytes_seen_ = input_.bytes_received();
    heard_since_ = now;
    ping_tag_ = wire::no_tag;
  }
  if (ping_tag_ != wire::no_tag) {
    if (now - pinged_at_ >= branch_.times().nop_answer) terminate();
    return;
  }
  if (now - heard_since_ < branch_.times().idle || stopping()) return;
  Message* message = new_message();
  auto& pdu = message->frame.begin<wire::NopIn>(wire::nop_in);
  if (++next_transfer_tag_ == wire::no_tag) next_transfer_tag_ = 0;
  ping_tag_ = next_transfer_tag_;
  pinged_at_ = now;
  pdu.flags = wire::final_bit;
  pdu.task_tag = wire::no_tag;
  pdu.transfer_tag = ping_tag_;
  push(message, Numbering::next);
}

}  // namespace cairn::iscsi
