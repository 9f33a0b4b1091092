#include "iscsi/session/pdu_row.h"

#include <algorithm>
#include <array>

namespace cairn::iscsi {

const PduRow* find_pdu(wire::Opcode opcode) {
  static constexpr std::array rows{
      &scsi_command_pdu, &data_out_pdu,       &nop_out_pdu,       &task_request_pdu,
      &text_request_pdu, &logout_request_pdu, &snack_request_pdu,
  };
  const auto found = std::ranges::find(rows, opcode, [](const PduRow* row) { return row->opcode; });
  return found == rows.end() ? nullptr : *found;
}

}  // namespace cairn::iscsi
