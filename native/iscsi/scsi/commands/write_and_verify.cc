// WRITE AND VERIFY (SBC-3).
#include "iscsi/scsi/block_range.h"
#include "iscsi/scsi/commands/table.h"
#include "iscsi/scsi/logical_unit.h"
#include "iscsi/scsi/medium.h"

namespace cairn::scsi {
namespace {

constexpr uint8_t cdb_byte_check = 0x02;  // BYTCHK: what is read back is compared
constexpr uint8_t flags = cdb_dpo | cdb_byte_check;

Judgement judge(LogicalUnit& unit, const Cdb& cdb) {
  const BlockRange range = range_of(cdb);
  if (std::optional<Outcome> refusal = check_writable(unit)) return *refusal;
  if (std::optional<Outcome> refusal = check_transfer(unit, cdb, range)) return *refusal;
  const size_t bytes = range.count * unit.block_size();
  return Needs{.data_out = bytes, .scratch = scratch_for(unit, bytes)};
}

/// Where less data came than the CDB names, the whole blocks among them are written. Nobody else writes there before
/// what was written has been compared.
Task<Outcome> run(LogicalUnit& unit, Command command) {
  const uint64_t blocks = command.data_out.size() / unit.block_size();
  if (blocks == 0) co_return good();
  const uint64_t first = range_of(command.cdb).first;
  const uint64_t offset = first * unit.block_size();
  const std::span<const std::byte> data = command.data_out.first(blocks * unit.block_size());
  const bool compared = (command.cdb[1] & cdb_byte_check) != 0;
  RangeLock::Hold hold(unit.ranges(), first, first + blocks,
                       compared ? RangeLock::Mode::exclusive : RangeLock::Mode::shared);
  co_await hold;
  const Status written = co_await unit.device().write(offset, data, Durability::durable);
  if (!written.ok()) co_return outcome_of(written, Access::writing);
  if (compared) co_return co_await compare(unit.device(), offset, data, command.scratch);
  const Status read = co_await read_through(unit.device(), offset, data.size(), command.scratch);
  co_return outcome_of(read, Access::reading);
}

constexpr CommandRow row(uint8_t opcode, Cdb usage) {
  return {.opcode = opcode, .usage = usage, .reservation = ReservationRule::writes, .judge = judge, .run = run};
}

}  // namespace

constexpr CommandRow write_and_verify_10 = row(0x2e, {0x2e, flags, 0xff, 0xff, 0xff, 0xff, cdb_group, 0xff, 0xff});
constexpr CommandRow write_and_verify_12 =
    row(0xae, {0xae, flags, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, cdb_group});
constexpr CommandRow write_and_verify_16 =
    row(0x8e, {0x8e, flags, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, cdb_group});

}  // namespace cairn::scsi
