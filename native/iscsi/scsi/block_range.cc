#include "iscsi/scsi/block_range.h"

#include "base/byte_order.h"
#include "iscsi/scsi/logical_unit.h"

namespace cairn::scsi {
namespace {

constexpr uint64_t blocks_of_6_at_zero = 256;
constexpr uint32_t address_bits_of_6 = 0x1fffff;

uint16_t transfer_length_byte(const Cdb& cdb) {
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

}  // namespace

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
  if (range.count > unit.transfer_max() / unit.block_size()) return invalid_field(transfer_length_byte(cdb));
  return {};
}

std::optional<Outcome> check_writable(LogicalUnit& unit) {
  if (!unit.geometry().read_only) return {};
  return check_condition(SenseKey::data_protect, SenseCode::write_protected);
}

}  // namespace cairn::scsi
