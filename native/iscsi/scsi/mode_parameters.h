#pragma once

namespace cairn::scsi {

/// What an initiator can change of a logical unit with MODE SELECT, for all of them. Not kept: it is as written here
/// when the volume is attached, and after a reset.
struct ModeParameters {
  bool write_cache = true;              // WCE: writes may wait for a flush before they are durable
  bool software_write_protect = false;  // SWP
  friend bool operator==(const ModeParameters&, const ModeParameters&) = default;
};

}  // namespace cairn::scsi
