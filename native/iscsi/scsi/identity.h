#pragma once

#include <array>
#include <cstdint>
#include <string>

namespace cairn::scsi {

/// What tells a logical unit from every other one, derived from the volume's UUID alone: the same on every node, over
/// restarts and restores, so that multipath software recognises paths to one volume.
struct Identity {
  std::array<uint8_t, 16> uuid{};  // of the volume
  std::string target_name;         // the iSCSI name of its target
  std::string volume_name;         // for people

  /// 32 hexadecimal digits, for VPD page 80h.
  std::string serial() const;
  /// NAA "locally assigned" (3h): its first four bits, and 60 bits of a hash of the UUID (SPC-4 7.8.6.6.4).
  std::array<uint8_t, 8> naa() const;
};

}  // namespace cairn::scsi
