#include "iscsi/scsi/vpd/table.h"

namespace cairn::scsi {
namespace {

/// One descriptor for all pages: every nexus shares them.
void write(LogicalUnit&, ParameterData& data) {
  data.put8(0x3f);
  data.put8(0xff);
  data.put16(0);
}

}  // namespace

const VpdPage vpd_mode_page_policy{.code = 0x87, .write = write};

}  // namespace cairn::scsi
