// PRE-FETCH (SBC-3): reads the range and drops what it read, so that it is in whatever cache lies
// below.
#include <algorithm>

#include "iscsi/scsi/block_range.h"
#include "iscsi/scsi/commands/table.h"
#include "iscsi/scsi/limits.h"
#include "iscsi/scsi/logical_unit.h"
#include "iscsi/scsi/medium.h"

namespace cairn::scsi {
namespace {

/// IMMED is allowed, and waits nevertheless.
constexpr uint8_t flags = 0x02;

Judgement judge(LogicalUnit& unit, const Cdb& cdb) {
  if (std::optional<Outcome> refusal = check_range(unit, range_of(cdb))) return *refusal;
  return Needs{.scratch = scratch_for(unit, range_to_end(unit, cdb).count * unit.block_size())};
}

/// CONDITION MET says that all of it is in the cache, GOOD that it did not fit.
Task<Outcome> run(LogicalUnit& unit, Command command) {
  const BlockRange range = range_to_end(unit, command.cdb);
  const uint64_t wanted = range.count * unit.block_size();
  if (check_range(unit, range)) co_return good();  // nothing from the very end on
  const Status status = co_await read_through(unit.device(), range.first * unit.block_size(),
                                              std::min(wanted, prefetch_max), command.scratch);
  if (!status.ok()) co_return outcome_of(status, Access::reading);
  co_return Outcome{wanted <= prefetch_max ? StatusCode::condition_met : StatusCode::good, {}, 0};
}

constexpr CommandRow row(uint8_t opcode, Cdb usage) {
  return {.opcode = opcode, .usage = usage, .reservation = ReservationRule::reads, .judge = judge, .run = run};
}

}  // namespace

constexpr CommandRow prefetch_10 = row(0x34, {0x34, flags, 0xff, 0xff, 0xff, 0xff, cdb_group, 0xff, 0xff});
constexpr CommandRow prefetch_16 =
    row(0x90, {0x90, flags, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, cdb_group});

}  // namespace cairn::scsi
