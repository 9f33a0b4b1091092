// PREVENT ALLOW MEDIUM REMOVAL (SBC-3 section 5.12): the medium cannot be removed, so that either is true already.
#include "iscsi/scsi/commands/table.h"
#include "iscsi/scsi/logical_unit.h"

namespace cairn::scsi {
namespace {

constexpr uint8_t cdb_prevent = 0x01;

/// To allow is allowed to all, to prevent is not (SBC-3 table 13).
Task<Outcome> run(LogicalUnit& unit, Command command) {
  const bool prevents = (command.cdb[4] & cdb_prevent) != 0;
  if (prevents && unit.reservations().conflicts(command.nexus, ReservationRule::writes))
    co_return Outcome{StatusCode::reservation_conflict, {}, 0};
  co_return good();
}

}  // namespace

const CommandRow prevent_allow_medium_removal{
    .opcode = 0x1e,
    .usage = {0x1e, 0x00, 0x00, 0x00, cdb_prevent},
    .reservation = ReservationRule::persistent,
    .judge = needs_nothing,
    .run = run,
};

}  // namespace cairn::scsi
