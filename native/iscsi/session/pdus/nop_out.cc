// NOP-Out: a ping of the initiator's, or the answer to one of ours (RFC 7143 section 11.18).
#include <algorithm>

#include "iscsi/session/session.h"

namespace cairn::iscsi {
namespace {

Landing accept(Session& session, const wire::Header& header) {
  // What is not answered is for immediate delivery, or its command number would never be told to have arrived.
  if (header.task_tag == wire::no_tag && !header.immediate())
    return session.reject(header, wire::RejectReason::invalid_pdu_field);
  return {.wanted = true, .into = session.text_memory(header.data_length), .task = nullptr};
}

void act(Session& session, const wire::Header& header, const Landing& landing, bool intact) {
  if (!intact) return void(session.reject(header, wire::RejectReason::data_digest_error));
  if (header.task_tag == wire::no_tag) return;  // that it said something is the answer
  Message* message = session.new_message();
  auto& pdu = message->frame.begin<wire::NopIn>(wire::nop_in);
  pdu.flags = wire::final_bit;
  pdu.lun = header.lun;
  pdu.task_tag = header.task_tag;
  pdu.transfer_tag = wire::no_tag;
  message->set_data(landing.into.first(std::min<size_t>(landing.into.size(), session.parameters().send_segment_max)));
  session.push(message);
}

}  // namespace

const PduRow nop_out_pdu{
    .opcode = wire::nop_out, .sequenced = true, .in_discovery = true, .accept = accept, .act = act};

}  // namespace cairn::iscsi
