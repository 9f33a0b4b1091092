#include "iscsi/scsi/commands/table.h"

namespace cairn::scsi {
namespace {

Task<Outcome> run(LogicalUnit&, Command) { co_return good(); }

}  // namespace

const CommandRow test_unit_ready{
    .opcode = 0x00,
    .usage = {0x00},
    .reservation = ReservationRule::persistent,
    .judge = needs_nothing,
    .run = run,
};

}  // namespace cairn::scsi
