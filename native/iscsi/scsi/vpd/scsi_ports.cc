#include "iscsi/scsi/logical_unit.h"
#include "iscsi/scsi/vpd/designator.h"
#include "iscsi/scsi/vpd/table.h"

namespace cairn::scsi {
namespace {

/// The one target port, which several portals lead to.
void write(LogicalUnit& unit, ParameterData& data) {
  data.put16(0);
  data.put16(relative_port);
  data.put16(0);
  data.put16(0);  // of an initiator port
  data.put16(0);
  const size_t length = data.size();
  data.put16(0);
  put_target_port_name(unit.identity(), data);
  data.set_length16(length);
}

}  // namespace

const VpdPage vpd_scsi_ports{.code = 0x88, .write = write};

}  // namespace cairn::scsi
