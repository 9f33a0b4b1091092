// One PDU type, one handler, one table. A row judges a request by its header and says where its data go; when they are
// there, it acts.
#pragma once

#include <cstdint>
#include <span>

#include "iscsi/wire.h"

namespace cairn::iscsi {

class ScsiTask;
class Session;

/// Where a data segment goes, and whether anything follows from the PDU.
struct Landing {
  bool wanted = false;  // false: the data are thrown away, and that is all
  std::span<std::byte> into;
  ScsiTask* task = nullptr;
};

struct PduRow {
  wire::Opcode opcode;
  bool sequenced;     // it has a CmdSN
  bool in_discovery;  // a discovery session may send it
  Landing (*accept)(Session& session, const wire::Header& header);
  /// `intact`: the data's digest is right.
  void (*act)(Session& session, const wire::Header& header, const Landing& landing, bool intact);
};

/// Null for an opcode that no initiator sends in the full feature phase.
const PduRow* find_pdu(wire::Opcode opcode);

extern const PduRow nop_out_pdu;
extern const PduRow scsi_command_pdu;
extern const PduRow task_request_pdu;
extern const PduRow text_request_pdu;
extern const PduRow data_out_pdu;
extern const PduRow logout_request_pdu;
extern const PduRow snack_request_pdu;

}  // namespace cairn::iscsi
