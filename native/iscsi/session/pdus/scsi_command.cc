#include "iscsi/session/session.h"

namespace cairn::iscsi {
namespace {

Landing accept(Session& session, const wire::Header& header) { return session.accept_command(header); }

void act(Session& session, const wire::Header& header, const Landing& landing, bool intact) {
  if (!intact) session.reject(header, wire::RejectReason::data_digest_error);
  session.act_on_command(landing.task, intact);
}

}  // namespace

const PduRow scsi_command_pdu{
    .opcode = wire::scsi_command, .sequenced = true, .in_discovery = false, .accept = accept, .act = act};

}  // namespace cairn::iscsi
