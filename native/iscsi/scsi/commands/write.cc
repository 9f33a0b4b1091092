// WRITE (SBC-3 sections 5.31 to 5.35).
#include "iscsi/scsi/block_range.h"
#include "iscsi/scsi/commands/table.h"
#include "iscsi/scsi/logical_unit.h"

namespace cairn::scsi {
namespace {

constexpr uint8_t flags = cdb_dpo | cdb_fua | cdb_fua_nv;

Judgement judge(LogicalUnit& unit, const Cdb& cdb) {
  const BlockRange range = range_of(cdb);
  if (std::optional<Outcome> refusal = check_writable(unit)) return *refusal;
  if (std::optional<Outcome> refusal = check_transfer(unit, cdb, range)) return *refusal;
  return Needs{.data_out = range.count * unit.block_size()};
}

/// Where less data came than the CDB names, the whole blocks among them are written.
Task<Outcome> run(LogicalUnit& unit, Command command) {
  const uint64_t blocks = command.data_out.size() / unit.block_size();
  if (blocks == 0) co_return good();
  const uint64_t first = range_of(command.cdb).first;
  RangeLock::Hold hold(unit.ranges(), first, first + blocks, RangeLock::Mode::shared);
  co_await hold;
  const Status status = co_await unit.device().write(
      first * unit.block_size(), command.data_out.first(blocks * unit.block_size()), durability_of(command.cdb));
  co_return outcome_of(status, Access::writing);
}

constexpr CommandRow row(uint8_t opcode, Cdb usage) {
  return {.opcode = opcode, .usage = usage, .reservation = ReservationRule::writes, .judge = judge, .run = run};
}

}  // namespace

constexpr CommandRow write_6 = row(0x0a, {0x0a, 0x1f, 0xff, 0xff, 0xff});
constexpr CommandRow write_10 = row(0x2a, {0x2a, flags, 0xff, 0xff, 0xff, 0xff, cdb_group, 0xff, 0xff});
constexpr CommandRow write_12 = row(0xaa, {0xaa, flags, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, cdb_group});
constexpr CommandRow write_16 =
    row(0x8a, {0x8a, flags, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, cdb_group});

}  // namespace cairn::scsi
