#include "iscsi/session/session.h"

namespace cairn::iscsi {
namespace {

Landing accept(Session& session, const wire::Header& header) { return session.accept_data_out(header); }

void act(Session& session, const wire::Header& header, const Landing& landing, bool intact) {
  session.act_on_data_out(header, landing.task, intact);
}

}  // namespace

const PduRow data_out_pdu{
    .opcode = wire::data_out, .sequenced = false, .in_discovery = false, .accept = accept, .act = act};

}  // namespace cairn::iscsi
