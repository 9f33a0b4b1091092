// COMPARE AND WRITE (SBC-3).
#include "iscsi/scsi/block_range.h"
#include "iscsi/scsi/commands/table.h"
#include "iscsi/scsi/logical_unit.h"
#include "iscsi/scsi/medium.h"

namespace cairn::scsi {
namespace {

constexpr uint8_t flags = cdb_dpo | cdb_fua | cdb_fua_nv;
constexpr uint16_t blocks_byte = 13;

BlockRange range_in(const Cdb& cdb) { return {range_of(cdb).first, cdb[blocks_byte]}; }

Judgement judge(LogicalUnit& unit, const Cdb& cdb) {
  const BlockRange range = range_in(cdb);
  if (std::optional<Outcome> refusal = check_writable(unit)) return *refusal;
  if (std::optional<Outcome> refusal = check_range(unit, range)) return *refusal;
  if (range.count > compare_blocks(unit)) return invalid_field(blocks_byte);
  const size_t bytes = range.count * unit.block_size();
  return Needs{.data_out = 2 * bytes, .scratch = scratch_for(unit, bytes), .exact_data_out = true};
}

/// What is compared comes first in the data, what is written after it. Nobody reads or writes there in between.
Task<Outcome> run(LogicalUnit& unit, Command command) {
  const BlockRange range = range_in(command.cdb);
  const size_t bytes = range.count * unit.block_size();
  if (bytes == 0) co_return good();
  if (command.data_out.size() < 2 * bytes) co_return wrong_data_length();
  const uint64_t offset = range.first * unit.block_size();
  RangeLock::Hold hold(unit.ranges(), range.first, range.end(), RangeLock::Mode::exclusive);
  co_await hold;
  const Outcome compared = co_await compare(unit.device(), offset, command.data_out.first(bytes), command.scratch);
  if (!compared.good()) co_return compared;
  const Status status =
      co_await unit.device().write(offset, command.data_out.subspan(bytes, bytes), durability_of(command.cdb));
  co_return outcome_of(status, Access::writing);
}

}  // namespace

const CommandRow compare_and_write_16{
    .opcode = 0x89,
    .usage = {0x89, flags, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0xff, cdb_group},
    .reservation = ReservationRule::writes,
    .judge = judge,
    .run = run,
};

}  // namespace cairn::scsi
