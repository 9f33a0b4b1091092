#include "iscsi/session/session.h"

namespace cairn::iscsi {
namespace {

Landing accept(Session& session, const wire::Header& header) {
  return session.reject(header, wire::RejectReason::command_unsupported);
}

void act(Session&, const wire::Header&, const Landing&, bool) {}

}  // namespace

const PduRow text_request_pdu{
    .opcode = wire::text_request, .sequenced = true, .in_discovery = true, .accept = accept, .act = act};

}  // namespace cairn::iscsi
