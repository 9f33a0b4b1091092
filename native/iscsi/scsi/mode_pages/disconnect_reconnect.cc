#include "iscsi/scsi/mode_pages/table.h"

namespace cairn::scsi {
namespace {

/// Zeros: no limits. Those of bursts are agreed upon at login (RFC 7143 section 13).
void write(const ModeParameters&, std::span<uint8_t>) {}

}  // namespace

const ModePage disconnect_reconnect_page{.code = 0x02, .size = 16, .write = write};

}  // namespace cairn::scsi
