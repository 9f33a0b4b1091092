// RESERVE and RELEASE of SPC-2, which old initiators know.
#include "iscsi/scsi/commands/table.h"
#include "iscsi/scsi/logical_unit.h"

namespace cairn::scsi {
namespace {

Task<Outcome> reserve(LogicalUnit& unit, Command command) {
  if (unit.reservations().reserve(command.nexus)) co_return good();
  co_return Outcome{StatusCode::reservation_conflict, {}, 0};
}

/// By somebody who has not reserved it does nothing.
Task<Outcome> release(LogicalUnit& unit, Command command) {
  if (!unit.reservations().state().registrations.empty()) co_return Outcome{StatusCode::reservation_conflict, {}, 0};
  unit.reservations().release(command.nexus);
  co_return good();
}

constexpr CommandRow row(uint8_t opcode, Task<Outcome> (*run)(LogicalUnit&, Command)) {
  return {
      .opcode = opcode, .usage = {opcode}, .reservation = ReservationRule::exempt, .judge = needs_nothing, .run = run};
}

}  // namespace

constexpr CommandRow reserve_6 = row(0x16, reserve);
constexpr CommandRow reserve_10 = row(0x56, reserve);
constexpr CommandRow release_6 = row(0x17, release);
constexpr CommandRow release_10 = row(0x57, release);

}  // namespace cairn::scsi
