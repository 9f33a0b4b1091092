#include "iscsi/scsi/mode_pages/table.h"

namespace cairn::scsi {
namespace {

constexpr uint8_t disabled = 0x08;  // DEXCPT: the health of disks is for those who run the pool, not for initiators

void write(const ModeParameters&, std::span<uint8_t> page) { page[2] = disabled; }

}  // namespace

const ModePage informational_exceptions_page{.code = 0x1c, .size = 12, .write = write};

}  // namespace cairn::scsi
