// READ CAPACITY (SBC-3 sections 5.15 and 5.16).
#include <algorithm>
#include <bit>
#include <cstring>

#include "base/byte_order.h"
#include "iscsi/scsi/commands/table.h"
#include "iscsi/scsi/logical_unit.h"

namespace cairn::scsi {
namespace {

constexpr size_t length_of_10 = 8;
constexpr size_t length_of_16 = 32;
constexpr uint8_t provisioned_and_zeroing = 0xc0;  // LBPME, LBPRZ

/// PMI and the block address are obsolete: the address must be zero.
Judgement judge_10(LogicalUnit&, const Cdb&) { return Needs{.data_in = length_of_10}; }

Task<Outcome> run_10(LogicalUnit& unit, Command command) {
  const uint64_t last = unit.block_count() - 1;
  store_be32(command.data_in.data(), static_cast<uint32_t>(std::min<uint64_t>(last, UINT32_MAX)));
  store_be32(command.data_in.data() + 4, unit.block_size());
  co_return good(length_of_10);
}

Judgement judge_16(LogicalUnit&, const Cdb& cdb) {
  return Needs{.data_in = std::min<size_t>(load_be32(&cdb[10]), length_of_16)};
}

Task<Outcome> run_16(LogicalUnit& unit, Command command) {
  const Geometry& geometry = unit.geometry();
  std::array<uint8_t, length_of_16> answer{};
  store_be64(&answer[0], unit.block_count() - 1);
  store_be32(&answer[8], unit.block_size());
  // Logical blocks in a physical one, as an exponent.
  answer[13] = static_cast<uint8_t>(std::countr_zero(std::max(geometry.preferred_block_size / unit.block_size(), 1U)));
  if (geometry.can_trim) answer[14] = provisioned_and_zeroing;
  std::memcpy(command.data_in.data(), answer.data(), command.data_in.size());
  co_return good(command.data_in.size());
}

}  // namespace

const CommandRow read_capacity_10{
    .opcode = 0x25,
    .usage = {0x25},
    .reservation = ReservationRule::persistent,
    .judge = judge_10,
    .run = run_10,
};

const CommandRow read_capacity_16{
    .opcode = 0x9e,
    .service_action = 0x10,
    .usage = {0x9e, 0x1f, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff},
    .reservation = ReservationRule::persistent,
    .judge = judge_16,
    .run = run_16,
};

}  // namespace cairn::scsi
