// REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS (SPC-4 section 6.36).
#include <algorithm>

#include "base/byte_order.h"
#include "iscsi/scsi/commands/table.h"
#include "iscsi/scsi/limits.h"
#include "iscsi/scsi/parameter_data.h"

namespace cairn::scsi {
namespace {

constexpr uint8_t cdb_extended = 0x80;  // REPD
/// ATS, ATSS, CTSS, LURS: abort task, abort task set, clear task set, logical unit reset. There is no ACA to clear, and
/// the resets of the target are not told here: to SCSI they are obsolete.
constexpr uint8_t functions = 0xd8;
constexpr uint8_t extension_length = 0x0c;

Judgement judge(LogicalUnit&, const Cdb& cdb) {
  return Needs{.data_in = std::min<size_t>(load_be32(&cdb[6]), parameter_data_max)};
}

Task<Outcome> run(LogicalUnit&, Command command) {
  const bool extended = (command.cdb[2] & cdb_extended) != 0;
  ParameterData data;
  data.put8(functions);
  data.put16(0);
  data.put8(extended ? extension_length : 0);
  if (extended) data.put_zeros(extension_length);  // timeouts, of which none is told
  co_return data.give(command.data_in);
}

}  // namespace

const CommandRow report_supported_task_functions{
    .opcode = 0xa3,
    .service_action = 0x0d,
    .usage = {0xa3, 0x1f, cdb_extended, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff},
    .reservation = ReservationRule::reads,
    .judge = judge,
    .run = run,
};

}  // namespace cairn::scsi
