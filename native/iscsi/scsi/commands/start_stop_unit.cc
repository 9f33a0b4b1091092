// START STOP UNIT (SBC-3 section 5.25). A volume is always ready: one initiator does not stop it for the others. What
// is stopped is made durable, as a disk would.
#include "iscsi/scsi/commands/table.h"
#include "iscsi/scsi/logical_unit.h"

namespace cairn::scsi {
namespace {

constexpr uint8_t cdb_immediate = 0x01;  // allowed, and waits nevertheless
constexpr uint8_t cdb_power_condition = 0xf0;
constexpr uint8_t power_active = 0x10;
constexpr uint8_t cdb_no_flush = 0x04;
constexpr uint8_t cdb_start = 0x01;

/// LOEJ is outside the usage data: there is nothing to eject. Power conditions save nothing here.
Judgement judge(LogicalUnit&, const Cdb& cdb) {
  const uint8_t power = cdb[4] & cdb_power_condition;
  if (power != 0 && power != power_active) return invalid_field(4, 7);
  return Needs{};
}

/// To start a unit is allowed to all, to stop it is not (SBC-3 table 13).
Task<Outcome> run(LogicalUnit& unit, Command command) {
  const bool starts = command.cdb[4] == cdb_start;
  if (starts) co_return good();
  if (unit.reservations().conflicts(command.nexus, ReservationRule::writes))
    co_return Outcome{StatusCode::reservation_conflict, {}, 0};
  if ((command.cdb[4] & cdb_no_flush) != 0) co_return good();
  const Status status = co_await unit.device().flush();
  co_return outcome_of(status, Access::writing);
}

}  // namespace

const CommandRow start_stop_unit{
    .opcode = 0x1b,
    .usage = {0x1b, cdb_immediate, 0x00, 0x00, cdb_power_condition | cdb_no_flush | cdb_start},
    .reservation = ReservationRule::persistent,
    .judge = judge,
    .run = run,
};

}  // namespace cairn::scsi
