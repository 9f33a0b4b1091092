#include "iscsi/scsi/mode_pages/table.h"

namespace cairn::scsi {
namespace {

constexpr uint8_t reassigns = 0xc0;           // AWRE, ARRE: the store below does so without being asked
constexpr uint8_t reports_thresholds = 0x80;  // LBPERE

void write(const ModeParameters&, std::span<uint8_t> page) {
  page[2] = reassigns;
  page[7] = reports_thresholds;
}

}  // namespace

const ModePage read_write_error_recovery_page{.code = 0x01, .size = 12, .write = write};

}  // namespace cairn::scsi
