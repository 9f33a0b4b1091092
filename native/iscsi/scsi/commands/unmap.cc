// UNMAP (SBC-3).
#include <algorithm>

#include "base/byte_order.h"
#include "iscsi/scsi/block_range.h"
#include "iscsi/scsi/commands/table.h"
#include "iscsi/scsi/limits.h"
#include "iscsi/scsi/logical_unit.h"
#include "iscsi/scsi/medium.h"

namespace cairn::scsi {
namespace {

constexpr size_t header_length = 8;
constexpr size_t descriptor_length = 16;
constexpr size_t list_max = header_length + unmap_descriptors_max * descriptor_length;

/// ANCHOR is not supported: its bit is outside the usage data.
Judgement judge(LogicalUnit& unit, const Cdb& cdb) {
  if (!unit.geometry().can_trim && !unit.geometry().read_only)
    return illegal_request(SenseCode::invalid_operation_code);
  if (std::optional<Outcome> refusal = check_writable(unit)) return *refusal;
  const size_t length = load_be16(&cdb[7]);
  if (length > 0 && length < header_length) return illegal_request(SenseCode::parameter_list_length_error);
  // A longer one is read as far as its descriptors may reach: how many it has, its header says.
  return Needs{.data_out = std::min(length, list_max)};
}

BlockRange descriptor(std::span<const std::byte> list, size_t index) {
  const std::byte* at = list.data() + header_length + index * descriptor_length;
  return {load_be64(at), load_be32(at + 8)};
}

/// How many descriptors there are, when the header is right. An incomplete one at the end is none.
std::optional<Outcome> check_header(const Cdb& cdb, std::span<const std::byte> list, size_t& count) {
  if (list.size() < std::min<size_t>(load_be16(&cdb[7]), list_max))
    return illegal_request(SenseCode::parameter_list_length_error);
  const size_t data_length = load_be16(list.data());
  const size_t descriptors_length = load_be16(list.data() + 2);
  if (data_length + 2 > load_be16(&cdb[7])) return illegal_request(SenseCode::parameter_list_length_error);
  count = descriptors_length / descriptor_length;
  const bool fits = descriptors_length == 0 || descriptors_length + header_length <= data_length + 2;
  if (!fits || count > unmap_descriptors_max) return invalid_parameter(2);
  return {};
}

/// Before anything is unmapped, so that a list that is refused has done nothing.
std::optional<Outcome> check_descriptors(LogicalUnit& unit, std::span<const std::byte> list, size_t count) {
  for (size_t i = 0; i < count; ++i)
    if (std::optional<Outcome> beyond = check_range(unit, descriptor(list, i))) return beyond;
  return {};
}

Task<Status> unmap_range(LogicalUnit& unit, BlockRange range) {
  if (range.count == 0) co_return Status();
  RangeLock::Hold hold(unit.ranges(), range.first, range.end(), RangeLock::Mode::shared);
  co_await hold;
  co_return co_await unmap(unit.device(), range.first * unit.block_size(), range.count * unit.block_size());
}

Task<Outcome> run(LogicalUnit& unit, Command command) {
  if (load_be16(&command.cdb[7]) == 0) co_return good();
  size_t count = 0;
  if (std::optional<Outcome> refusal = check_header(command.cdb, command.data_out, count)) co_return *refusal;
  if (std::optional<Outcome> refusal = check_descriptors(unit, command.data_out, count)) co_return *refusal;
  Status status;
  for (size_t i = 0; i < count && status.ok(); ++i)
    status = co_await unmap_range(unit, descriptor(command.data_out, i));
  co_return outcome_of(status, Access::writing);
}

}  // namespace

const CommandRow unmap_10{
    .opcode = 0x42,
    .usage = {0x42, 0x00, 0x00, 0x00, 0x00, 0x00, cdb_group, 0xff, 0xff},
    .reservation = ReservationRule::writes,
    .judge = judge,
    .run = run,
};

}  // namespace cairn::scsi
