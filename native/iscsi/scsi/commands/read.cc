// READ (SBC-3 sections 5.8 to 5.12).
#include "iscsi/scsi/block_range.h"
#include "iscsi/scsi/commands/table.h"
#include "iscsi/scsi/logical_unit.h"

namespace cairn::scsi {
namespace {

constexpr uint8_t flags = cdb_dpo | cdb_fua | cdb_fua_nv;

Judgement judge(LogicalUnit& unit, const Cdb& cdb) {
  const BlockRange range = range_of(cdb);
  if (std::optional<Outcome> refusal = check_transfer(unit, cdb, range)) return *refusal;
  return Needs{.data_in = range.count * unit.block_size()};
}

/// FUA asks for what is on stable storage. What a device reads is what was written last, whether it has got there yet
/// or not; a flush after it makes it the same.
Task<Outcome> run(LogicalUnit& unit, Command command) {
  if (command.data_in.empty()) co_return good();
  const BlockRange range = range_of(command.cdb);
  Status status;
  {
    // Waits only for what must be one step: nobody sees half of it.
    RangeLock::Hold hold(unit.ranges(), range.first, range.end(), RangeLock::Mode::shared);
    co_await hold;
    status = co_await unit.device().read(range.first * unit.block_size(), command.data_in);
  }
  if (!status.ok()) co_return outcome_of(status, Access::reading);
  if (durability_of(command.cdb) == Durability::buffered) co_return good(command.data_in.size());
  const Status flushed = co_await unit.device().flush();
  co_return outcome_of(flushed, Access::writing, command.data_in.size());
}

constexpr CommandRow row(uint8_t opcode, Cdb usage) {
  return {.opcode = opcode, .usage = usage, .reservation = ReservationRule::reads, .judge = judge, .run = run};
}

}  // namespace

constexpr CommandRow read_6 = row(0x08, {0x08, 0x1f, 0xff, 0xff, 0xff});
constexpr CommandRow read_10 = row(0x28, {0x28, flags, 0xff, 0xff, 0xff, 0xff, cdb_group, 0xff, 0xff});
constexpr CommandRow read_12 = row(0xa8, {0xa8, flags, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, cdb_group});
constexpr CommandRow read_16 =
    row(0x88, {0x88, flags, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, cdb_group});

}  // namespace cairn::scsi
