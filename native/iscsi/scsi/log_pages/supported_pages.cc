#include "iscsi/scsi/log_pages/table.h"
#include "iscsi/scsi/parameter_data.h"

namespace cairn::scsi {
namespace {

void write(ParameterData& data) {
  for (const LogPage* page : log_pages())
    if (page->subpage == 0) data.put8(page->code);
}

void write_with_subpages(ParameterData& data) {
  for (const LogPage* page : log_pages()) {
    data.put8(page->code);
    data.put8(page->subpage);
  }
}

}  // namespace

const LogPage log_supported_pages{.code = 0x00, .write = write};
const LogPage log_supported_subpages{.code = 0x00, .subpage = 0xff, .write = write_with_subpages};

}  // namespace cairn::scsi
