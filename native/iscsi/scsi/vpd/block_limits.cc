#include <algorithm>

#include "iscsi/scsi/block_range.h"
#include "iscsi/scsi/limits.h"
#include "iscsi/scsi/logical_unit.h"
#include "iscsi/scsi/vpd/table.h"

namespace cairn::scsi {
namespace {

constexpr uint8_t write_same_not_zero = 0x01;  // WSNZ
constexpr uint32_t no_limit = UINT32_MAX;
constexpr uint32_t alignment_valid = 0x80000000;  // UGAVALID

/// As SBC-3 section 6.5.3 has it, in logical blocks; what initiators do with each number is in their own hands.
void write(LogicalUnit& unit, ParameterData& data) {
  const Geometry& geometry = unit.geometry();
  const uint32_t block = unit.block_size();
  const uint32_t granularity = std::max(geometry.preferred_block_size / block, 1U);
  const uint32_t transfer_max = unit.transfer_max() / block;
  data.put8(write_same_not_zero);
  data.put8(static_cast<uint8_t>(compare_blocks(unit)));
  data.put16(static_cast<uint16_t>(granularity));
  data.put32(transfer_max);
  data.put32(std::min(static_cast<uint32_t>(transfer_length_optimal) / block, transfer_max));
  data.put32(static_cast<uint32_t>(prefetch_max / block));
  data.put32(geometry.can_trim ? no_limit : 0);
  data.put32(geometry.can_trim ? unmap_descriptors_max : 0);
  data.put32(geometry.can_trim ? granularity : 0);
  data.put32(geometry.can_trim ? alignment_valid : 0);
  data.put64(write_same_blocks(unit));
  data.put_zeros(20);  // of atomic writes, which there are none of
}

}  // namespace

const VpdPage vpd_block_limits{.code = 0xb0, .write = write};

}  // namespace cairn::scsi
