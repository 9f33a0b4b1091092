#include "iscsi/scsi/mode_pages/table.h"
#include "iscsi/scsi/sense.h"

namespace cairn::scsi {
namespace {

constexpr uint8_t implicit_alua_enabled = 0x01;  // IALUAE

void write(const ModeParameters&, std::span<uint8_t> page) {
  page[4] = implicit_alua_enabled;
  page[6] = sense_length_max;
}

}  // namespace

const ModePage control_extension_page{.code = 0x0a, .subpage = 0x01, .size = 32, .write = write};

}  // namespace cairn::scsi
