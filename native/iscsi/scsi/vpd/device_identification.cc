#include "iscsi/scsi/logical_unit.h"
#include "iscsi/scsi/vpd/designator.h"
#include "iscsi/scsi/vpd/table.h"

namespace cairn::scsi {
namespace {

/// Those of the logical unit first, the one that names it best before the others: some initiators take the first.
void write(LogicalUnit& unit, ParameterData& data) {
  const Identity& identity = unit.identity();
  put_naa(identity, data);
  put_t10_vendor_identification(identity, data);
  put_uuid(identity, data);
  put_relative_target_port(data);
  put_target_port_group(data);
  put_target_port_name(identity, data);
  put_target_device_name(identity, data);
}

}  // namespace

const VpdPage vpd_device_identification{.code = 0x83, .write = write};

}  // namespace cairn::scsi
