// SEND DIAGNOSTIC (SPC-4 section 6.42): the default self-test, which reads a block.
#include "base/byte_order.h"
#include "iscsi/scsi/commands/table.h"
#include "iscsi/scsi/logical_unit.h"

namespace cairn::scsi {
namespace {

constexpr uint8_t cdb_self_test_code = 0xe0;
constexpr uint8_t cdb_page_format = 0x10;
constexpr uint8_t cdb_self_test = 0x04;

/// There are no background self-tests and no diagnostic pages to send. DEVOFFL and UNITOFFL are outside the usage data.
Judgement judge(LogicalUnit& unit, const Cdb& cdb) {
  if ((cdb[1] & cdb_self_test_code) != 0) return invalid_field(1, 7);
  if (load_be16(&cdb[3]) != 0) return invalid_field(3);
  return Needs{.scratch = unit.block_size()};
}

Task<Outcome> run(LogicalUnit& unit, Command command) {
  if ((command.cdb[1] & cdb_self_test) == 0) co_return good();
  const Status status = co_await unit.device().read(0, command.scratch);
  co_return outcome_of(status, Access::reading);
}

}  // namespace

const CommandRow send_diagnostic{
    .opcode = 0x1d,
    .usage = {0x1d, cdb_self_test_code | cdb_page_format | cdb_self_test, 0x00, 0xff, 0xff},
    .reservation = ReservationRule::writes,
    .judge = judge,
    .run = run,
};

}  // namespace cairn::scsi
