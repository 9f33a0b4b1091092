#include "iscsi/scsi/logical_unit.h"
#include "iscsi/scsi/vpd/table.h"

namespace cairn::scsi {
namespace {

void write(LogicalUnit& unit, ParameterData& data) {
  const std::string serial = unit.identity().serial();
  data.put_text(serial, serial.size());
}

}  // namespace

const VpdPage vpd_unit_serial_number{.code = 0x80, .write = write};

}  // namespace cairn::scsi
