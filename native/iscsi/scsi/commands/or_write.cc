// ORWRITE (16) (SBC-3): sets bits of the medium.
#include <algorithm>
#include <functional>

#include "iscsi/scsi/block_range.h"
#include "iscsi/scsi/commands/table.h"
#include "iscsi/scsi/logical_unit.h"
#include "iscsi/scsi/medium.h"

namespace cairn::scsi {
namespace {

constexpr uint8_t flags = cdb_dpo | cdb_fua | cdb_fua_nv;

Judgement judge(LogicalUnit& unit, const Cdb& cdb) {
  const BlockRange range = range_of(cdb);
  if (std::optional<Outcome> refusal = check_writable(unit)) return *refusal;
  if (std::optional<Outcome> refusal = check_transfer(unit, cdb, range)) return *refusal;
  const size_t bytes = range.count * unit.block_size();
  return Needs{.data_out = bytes, .scratch = scratch_for(unit, bytes)};
}

Task<Outcome> set_bits(BlockDevice& device, uint64_t offset, std::span<const std::byte> bits,
                       std::span<std::byte> piece, Durability durability) {
  const Status read = co_await device.read(offset, piece);
  if (!read.ok()) co_return outcome_of(read, Access::reading);
  std::ranges::transform(piece, bits, piece.begin(), std::bit_or());
  const Status written = co_await device.write(offset, piece, durability);
  co_return outcome_of(written, Access::writing);
}

/// Where less data came than the CDB names, it is done with the whole blocks among them.
Task<Outcome> run(LogicalUnit& unit, Command command) {
  const uint64_t blocks = command.data_out.size() / unit.block_size();
  if (blocks == 0) co_return good();
  const uint64_t first = range_of(command.cdb).first;
  const std::span<const std::byte> bits = command.data_out.first(blocks * unit.block_size());
  RangeLock::Hold hold(unit.ranges(), first, first + blocks, RangeLock::Mode::exclusive);
  co_await hold;
  Outcome outcome = good();
  for (size_t done = 0; done < bits.size() && outcome.good(); done += command.scratch.size()) {
    const std::span<std::byte> piece = command.scratch.first(std::min(command.scratch.size(), bits.size() - done));
    outcome = co_await set_bits(unit.device(), first * unit.block_size() + done, bits.subspan(done, piece.size()),
                                piece, durability_of(command.cdb));
  }
  co_return outcome;
}

}  // namespace

const CommandRow or_write_16{
    .opcode = 0x8b,
    .usage = {0x8b, flags, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, cdb_group},
    .reservation = ReservationRule::writes,
    .judge = judge,
    .run = run,
};

}  // namespace cairn::scsi
