#include "iscsi/scsi/vpd/table.h"

namespace cairn::scsi {
namespace {

void write(LogicalUnit&, ParameterData& data) {
  for (const VpdPage* page : vpd_pages()) data.put8(page->code);
}

}  // namespace

const VpdPage vpd_supported_pages{.code = 0x00, .write = write};

}  // namespace cairn::scsi
