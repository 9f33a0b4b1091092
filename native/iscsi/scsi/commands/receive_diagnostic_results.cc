// RECEIVE DIAGNOSTIC RESULTS (SPC-4 section 6.30): the list of diagnostic pages, on which is nothing but itself.
#include <algorithm>

#include "base/byte_order.h"
#include "iscsi/scsi/commands/table.h"
#include "iscsi/scsi/limits.h"
#include "iscsi/scsi/parameter_data.h"

namespace cairn::scsi {
namespace {

constexpr uint8_t cdb_page_valid = 0x01;  // PCV
constexpr uint8_t supported_pages = 0x00;

/// Without PCV the results of SEND DIAGNOSTIC are meant, which leaves none.
Judgement judge(LogicalUnit&, const Cdb& cdb) {
  if ((cdb[1] & cdb_page_valid) == 0) return invalid_field(1, 0);
  if (cdb[2] != supported_pages) return invalid_field(2);
  return Needs{.data_in = std::min<size_t>(load_be16(&cdb[3]), parameter_data_max)};
}

Task<Outcome> run(LogicalUnit&, Command command) {
  ParameterData data;
  data.put16(0);
  data.put16(0);
  data.put8(supported_pages);
  data.set_length16(2);
  co_return data.give(command.data_in);
}

}  // namespace

const CommandRow receive_diagnostic_results{
    .opcode = 0x1c,
    .usage = {0x1c, cdb_page_valid, 0xff, 0xff, 0xff},
    .reservation = ReservationRule::reads,
    .judge = judge,
    .run = run,
};

}  // namespace cairn::scsi
