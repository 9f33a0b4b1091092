// SNACK asks for something again: not at error recovery level 0 (RFC 7143 section 11.16).
#include "iscsi/session/session.h"

namespace cairn::iscsi {
namespace {

Landing accept(Session& session, const wire::Header& header) {
  return session.reject(header, wire::RejectReason::snack_reject);
}

void act(Session&, const wire::Header&, const Landing&, bool) {}

}  // namespace

const PduRow snack_request_pdu{
    .opcode = wire::snack_request, .sequenced = false, .in_discovery = false, .accept = accept, .act = act};

}  // namespace cairn::iscsi
