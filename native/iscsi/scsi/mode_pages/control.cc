#include "base/byte_order.h"
#include "iscsi/scsi/mode_pages/table.h"

namespace cairn::scsi {
namespace {

constexpr uint8_t no_implicit_log_saves = 0x02;    // GLTSD
constexpr uint8_t unrestricted_reordering = 0x10;  // QUEUE ALGORITHM MODIFIER 1: commands run as they come
constexpr uint8_t write_protected_bit = 0x08;      // SWP
constexpr uint16_t busy_for_any_time = 0xffff;

/// One task set for all initiators (TST 0), sense data of fixed format (D_SENSE 0), aborted commands are not answered
/// (TAS 0), errors abort no other command (QERR 0).
void write(const ModeParameters& parameters, std::span<uint8_t> page) {
  page[2] = no_implicit_log_saves;
  page[3] = unrestricted_reordering;
  page[4] = parameters.software_write_protect ? write_protected_bit : 0;
  store_be16(&page[8], busy_for_any_time);
}

void read(std::span<const uint8_t> page, ModeParameters& parameters) {
  parameters.software_write_protect = (page[4] & write_protected_bit) != 0;
}

}  // namespace

const ModePage control_page{
    .code = 0x0a,
    .size = 12,
    .write = write,
    .changeable = {.byte = 4, .bits = write_protected_bit},
    .read = read,
};

}  // namespace cairn::scsi
