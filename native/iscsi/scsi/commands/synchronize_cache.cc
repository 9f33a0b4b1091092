// SYNCHRONIZE CACHE (SBC-3 sections 5.29 and 5.30). All of the device is flushed, whatever range is named.
#include "iscsi/scsi/block_range.h"
#include "iscsi/scsi/commands/table.h"
#include "iscsi/scsi/logical_unit.h"

namespace cairn::scsi {
namespace {

/// SYNC_NV is obsolete and means nothing. IMMED is allowed, and waits nevertheless: a status that comes before the data
/// are safe is worth nothing.
constexpr uint8_t flags = 0x06;

Judgement judge(LogicalUnit& unit, const Cdb& cdb) {
  if (std::optional<Outcome> refusal = check_range(unit, range_of(cdb))) return *refusal;
  return Needs{};
}

Task<Outcome> run(LogicalUnit& unit, Command) {
  const Status status = co_await unit.device().flush();
  co_return outcome_of(status, Access::writing);
}

constexpr CommandRow row(uint8_t opcode, Cdb usage) {
  return {.opcode = opcode, .usage = usage, .reservation = ReservationRule::writes, .judge = judge, .run = run};
}

}  // namespace

constexpr CommandRow synchronize_cache_10 = row(0x35, {0x35, flags, 0xff, 0xff, 0xff, 0xff, cdb_group, 0xff, 0xff});
constexpr CommandRow synchronize_cache_16 =
    row(0x91, {0x91, flags, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, cdb_group});

}  // namespace cairn::scsi
