// WRITE SAME (SBC-3).
#include <algorithm>
#include <cstring>

#include "iscsi/scsi/block_range.h"
#include "iscsi/scsi/commands/table.h"
#include "iscsi/scsi/limits.h"
#include "iscsi/scsi/logical_unit.h"
#include "iscsi/scsi/medium.h"

namespace cairn::scsi {
namespace {

// ANCHOR is not supported, PBDATA and LBDATA are obsolete: their bits are outside the usage data.
constexpr uint8_t cdb_unmap = 0x08;
constexpr uint8_t cdb_no_data = 0x01;  // NDOB, of 16 bytes only: the block that is written is all zeros

bool without_data(const Cdb& cdb) { return cdb_length(cdb[0]) == 16 && (cdb[1] & cdb_no_data) != 0; }

Judgement judge(LogicalUnit& unit, const Cdb& cdb) {
  if (std::optional<Outcome> refusal = check_writable(unit)) return *refusal;
  const BlockRange range = range_of(cdb);
  if (std::optional<Outcome> refusal = check_range(unit, range)) return *refusal;
  // No blocks would be all to the end of the medium: nobody means that (WSNZ).
  if (range.count == 0 || range.count > write_same_blocks(unit)) return invalid_field(length_byte(cdb));
  if ((cdb[1] & cdb_unmap) != 0 && !unit.geometry().can_trim) return invalid_field(1, 3);
  if (without_data(cdb)) return Needs{};
  return Needs{.data_out = unit.block_size(),
               .scratch = scratch_for(unit, range.count * unit.block_size()),
               .exact_data_out = true};
}

void repeat(std::span<const std::byte> block, std::span<std::byte> into) {
  for (size_t at = 0; at < into.size(); at += block.size()) std::memcpy(into.data() + at, block.data(), block.size());
}

Task<Status> write_repeated(LogicalUnit& unit, BlockRange range, const Command& command) {
  const std::span<std::byte> pieces = command.scratch;
  repeat(command.data_out, pieces);
  const uint64_t end = range.end() * unit.block_size();
  Status status;
  for (uint64_t at = range.first * unit.block_size(); at < end && status.ok(); at += pieces.size())
    status = co_await unit.device().write(at, pieces.first(std::min<uint64_t>(pieces.size(), end - at)),
                                          Durability::buffered);
  co_return status;
}

Task<Status> write_zeros(LogicalUnit& unit, BlockRange range, bool may_unmap) {
  const uint64_t offset = range.first * unit.block_size();
  const uint64_t length = range.count * unit.block_size();
  if (may_unmap) return unmap(unit.device(), offset, length);
  return unit.device().write_zeroes(offset, length, ZeroMode::keep_space, Durability::buffered);
}

/// Only what reads as zeros is unmapped: other data are written, whatever UNMAP says (SBC-3).
Task<Outcome> run(LogicalUnit& unit, Command command) {
  const BlockRange range = range_of(command.cdb);
  const bool no_data = without_data(command.cdb);
  if (!no_data && command.data_out.size() < unit.block_size()) co_return wrong_data_length();
  const bool zeros = no_data || all_zeros(command.data_out);
  RangeLock::Hold hold(unit.ranges(), range.first, range.end(), RangeLock::Mode::shared);
  co_await hold;
  Status status;
  if (zeros)
    status = co_await write_zeros(unit, range, (command.cdb[1] & cdb_unmap) != 0);
  else
    status = co_await write_repeated(unit, range, command);
  co_return outcome_of(status, Access::writing);
}

constexpr CommandRow row(uint8_t opcode, Cdb usage) {
  return {.opcode = opcode, .usage = usage, .reservation = ReservationRule::writes, .judge = judge, .run = run};
}

}  // namespace

constexpr CommandRow write_same_10 = row(0x41, {0x41, cdb_unmap, 0xff, 0xff, 0xff, 0xff, cdb_group, 0xff, 0xff});
constexpr CommandRow write_same_16 = row(0x93, {0x93, cdb_unmap | cdb_no_data, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                                0xff, 0xff, 0xff, 0xff, 0xff, cdb_group});

}  // namespace cairn::scsi
