#include "iscsi/scsi/block_range.h"

#include <algorithm>

#include "base/byte_order.h"
#include "iscsi/scsi/limits.h"
#include "iscsi/scsi/logical_unit.h"

namespace cairn::scsi {
namespace {

constexpr uint64_t blocks_of_6_at_zero = 256;
constexpr uint32_t address_bits_of_6 = 0x1fffff;

}  // namespace

uint16_t length_byte(const Cdb& cdb) {
  switch (cdb_length(cdb[0])) {
    case 6:
      return 4;
    case 10:
      return 7;
    case 12:
      return 6;
    default:
      return 10;
  }
}

BlockRange range_of(const Cdb& cdb) {
  switch (cdb_length(cdb[0])) {
    case 6:
      return {load_be32(&cdb[0]) & address_bits_of_6, cdb[4] == 0 ? blocks_of_6_at_zero : cdb[4]};
    case 10:
      return {load_be32(&cdb[2]), load_be16(&cdb[7])};
    case 12:
      return {load_be32(&cdb[2]), load_be32(&cdb[6])};
    default:
      return {load_be64(&cdb[2]), load_be32(&cdb[10])};
  }
}

BlockRange range_to_end(LogicalUnit& unit, const Cdb& cdb) {
  BlockRange range = range_of(cdb);
  const uint64_t blocks = unit.block_count();
  // One that begins beyond the end stays what it is, to be refused.
  if (range.count == 0) range.count = range.first < blocks ? blocks - range.first : 1;
  return range;
}

std::optional<Outcome> check_range(LogicalUnit& unit, const BlockRange& range) {
  const uint64_t blocks = unit.block_count();
  if (range.first <= blocks && range.count <= blocks - range.first) [[likely]]
    return {};
  Outcome outcome = illegal_request(SenseCode::block_address_out_of_range);
  outcome.sense.information = range.first >= blocks ? range.first : blocks;
  return outcome;
}

std::optional<Outcome> check_transfer(LogicalUnit& unit, const Cdb& cdb, const BlockRange& range) {
  if (std::optional<Outcome> beyond = check_range(unit, range)) return beyond;
  if (range.count > unit.transfer_max() / unit.block_size()) return invalid_field(length_byte(cdb));
  return {};
}

std::optional<Outcome> check_writable(LogicalUnit& unit) {
  if (unit.geometry().read_only) return check_condition(SenseKey::data_protect, SenseCode::write_protected);
  if (unit.mode().software_write_protect)
    return check_condition(SenseKey::data_protect, SenseCode::software_write_protected);
  return {};
}

Durability durability_of(const Cdb& cdb) {
  return cdb_length(cdb[0]) > 6 && (cdb[1] & cdb_fua) != 0 ? Durability::durable : Durability::buffered;
}

uint32_t write_same_blocks(LogicalUnit& unit) {
  return std::min(write_same_blocks_max, static_cast<uint32_t>(write_same_max / unit.block_size()));
}

uint32_t compare_blocks(LogicalUnit& unit) {
  return std::min(compare_blocks_max, unit.transfer_max() / (2 * unit.block_size()));
}

}  // namespace cairn::scsi
