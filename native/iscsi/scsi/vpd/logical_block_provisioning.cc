#include "iscsi/scsi/logical_unit.h"
#include "iscsi/scsi/vpd/table.h"

namespace cairn::scsi {
namespace {

constexpr uint8_t unmaps_and_zeroes = 0xe4;  // LBPU, LBPWS, LBPWS10, LBPRZ
constexpr uint8_t thin = 2;

/// The threshold exponent is zero: whoever runs the pool says when its space is low, not an initiator.
void write(LogicalUnit& unit, ParameterData& data) {
  const bool provisions = unit.geometry().can_trim;
  data.put8(0);
  data.put8(provisions ? unmaps_and_zeroes : 0);
  data.put8(provisions ? thin : 0);
  data.put8(0);
}

}  // namespace

const VpdPage vpd_logical_block_provisioning{.code = 0xb2, .write = write};

}  // namespace cairn::scsi
