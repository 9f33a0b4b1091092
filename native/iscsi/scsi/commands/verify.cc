// VERIFY (SBC-3).
#include <algorithm>

#include "iscsi/scsi/block_range.h"
#include "iscsi/scsi/commands/table.h"
#include "iscsi/scsi/logical_unit.h"
#include "iscsi/scsi/medium.h"

namespace cairn::scsi {
namespace {

/// BYTCHK, in bits 2 and 1 of CDB byte 1.
enum class ByteCheck : uint8_t {
  none = 0,      // the medium can be read
  data = 1,      // it holds the data
  reserved = 2,  // refused
  block = 3,     // each of its blocks holds the one block of data
};

constexpr uint8_t flags = cdb_dpo | 0x06;

ByteCheck check_of(const Cdb& cdb) { return static_cast<ByteCheck>((cdb[1] >> 1) & 3); }

Judgement judge(LogicalUnit& unit, const Cdb& cdb) {
  const BlockRange range = range_of(cdb);
  if (check_of(cdb) == ByteCheck::reserved) return invalid_field(1, 2);
  if (std::optional<Outcome> refusal = check_transfer(unit, cdb, range)) return *refusal;
  const size_t bytes = range.count * unit.block_size();
  Needs needs{.scratch = scratch_for(unit, bytes), .exact_data_out = true};
  if (check_of(cdb) == ByteCheck::data) needs.data_out = bytes;
  if (check_of(cdb) == ByteCheck::block && bytes > 0) needs.data_out = unit.block_size();
  return needs;
}

/// MISCOMPARE has the offset in the range, not in the block.
Task<Outcome> compare_each(LogicalUnit& unit, BlockRange range, const Command& command) {
  const uint32_t block = unit.block_size();
  const std::span<std::byte> scratch = command.scratch;
  for (uint64_t done = 0; done < range.count * block; done += scratch.size()) {
    const size_t length = std::min<uint64_t>(scratch.size(), range.count * block - done);
    const Status status = co_await unit.device().read(range.first * block + done, scratch.first(length));
    if (!status.ok()) co_return outcome_of(status, Access::reading);
    for (size_t at = 0; at < length; at += block) {
      const size_t differs = first_difference(scratch.subspan(at, block), command.data_out.first(block));
      if (differs < block) co_return miscompare(done + at + differs);
    }
  }
  co_return good();
}

Task<Outcome> can_be_read(LogicalUnit& unit, BlockRange range, const Command& command) {
  const uint64_t offset = range.first * unit.block_size();
  const Status status = co_await read_through(unit.device(), offset, range.count * unit.block_size(), command.scratch);
  co_return outcome_of(status, Access::reading);
}

Task<Outcome> check(LogicalUnit& unit, BlockRange range, const Command& command) {
  switch (check_of(command.cdb)) {
    case ByteCheck::data:
      return compare(unit.device(), range.first * unit.block_size(), command.data_out, command.scratch);
    case ByteCheck::block:
      return compare_each(unit, range, command);
    default:
      return can_be_read(unit, range, command);
  }
}

/// With less data than the blocks hold, the rest would pass for verified.
bool lacks_data(LogicalUnit& unit, BlockRange range, const Command& command) {
  if (check_of(command.cdb) == ByteCheck::none) return false;
  const uint64_t blocks = check_of(command.cdb) == ByteCheck::data ? range.count : 1;
  return command.data_out.size() < blocks * unit.block_size();
}

Task<Outcome> run(LogicalUnit& unit, Command command) {
  const BlockRange range = range_of(command.cdb);
  if (range.count == 0) co_return good();
  if (lacks_data(unit, range, command)) co_return wrong_data_length();
  RangeLock::Hold hold(unit.ranges(), range.first, range.end(), RangeLock::Mode::shared);
  co_await hold;
  co_return co_await check(unit, range, command);
}

constexpr CommandRow row(uint8_t opcode, Cdb usage) {
  return {.opcode = opcode, .usage = usage, .reservation = ReservationRule::reads, .judge = judge, .run = run};
}

}  // namespace

constexpr CommandRow verify_10 = row(0x2f, {0x2f, flags, 0xff, 0xff, 0xff, 0xff, cdb_group, 0xff, 0xff});
constexpr CommandRow verify_12 = row(0xaf, {0xaf, flags, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, cdb_group});
constexpr CommandRow verify_16 =
    row(0x8f, {0x8f, flags, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, cdb_group});

}  // namespace cairn::scsi
