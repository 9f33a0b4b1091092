// Text requests: SendTargets, and what may be negotiated again (RFC 7143 sections 6.4 and 11.10).
#include "iscsi/session/session.h"

namespace cairn::iscsi {
namespace {

Landing accept(Session& session, const wire::Header& header) {
  if (header.data_length > text_max) return session.reject_and_end(header, wire::RejectReason::protocol_error);
  return {.wanted = true, .into = session.text_memory(header.data_length), .task = nullptr};
}

void act(Session& session, const wire::Header& header, const Landing& landing, bool intact) {
  if (!intact) return void(session.reject(header, wire::RejectReason::data_digest_error));
  const TextNegotiation::Reply reply = session.texts().handle(wire::as<wire::TextRequest>(header), landing.into);
  if (reply.reject) return void(session.reject(header, *reply.reject));
  Message* message = session.new_message();
  message->frame.begin<wire::TextResponse>(wire::text_response) = reply.header;
  message->set_data(reply.text);
  session.push(message);
}

}  // namespace

const PduRow text_request_pdu{
    .opcode = wire::text_request, .sequenced = true, .in_discovery = true, .accept = accept, .act = act};

}  // namespace cairn::iscsi
