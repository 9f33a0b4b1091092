#include "iscsi/session/session.h"

namespace cairn::iscsi {
namespace {

Landing accept(Session&, const wire::Header&) { return {.wanted = true, .into = {}, .task = nullptr}; }

void act(Session& session, const wire::Header& header, const Landing&, bool) {
  session.manage_tasks(wire::as<wire::TaskRequest>(header));
}

}  // namespace

const PduRow task_request_pdu{
    .opcode = wire::task_request, .sequenced = true, .in_discovery = false, .accept = accept, .act = act};

}  // namespace cairn::iscsi
